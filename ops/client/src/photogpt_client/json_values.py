"""Turns Python values into JSON values: what has one text form becomes that text, any other is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from photogpt_client.errors import InvalidJob

MAX_DEPTH = 100  # levels of objects and lists
MAX_BITS = 14_000  # of an integer
TYPE_MARK = {"__type__", "__value__"}


def json_value(value: object, field: str, depth: int = 0) -> Any:
    """Return a value as JSON holds it.

    Args:
        value: of any type.
        field: the dotted name of the value.
        depth: levels above the value.

    Raises:
        InvalidJob: the value has no JSON form; names the field, never its content.
    """
    if depth > MAX_DEPTH:
        raise InvalidJob(field.partition(".")[0], f"is nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return _scalar(value, field)
    if isinstance(value, Mapping) and value.keys() == TYPE_MARK:
        raise InvalidJob(field, "has the keys __type__ and __value__, by which Celery marks a type; use other names")
    if isinstance(value, Mapping):
        return {_key(key, field): json_value(item, f"{field}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, f"{field}.{index}", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    raise InvalidJob(field, f"is of type {type(value).__name__}, which JSON cannot hold; send text instead")


def _scalar(value: str | float, field: str) -> str | float:
    if isinstance(value, str) and not is_unicode(value):
        raise InvalidJob(field, "contains half a surrogate pair, which UTF-8 cannot represent")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise InvalidJob(field, "is an integer of more than 4,200 digits; send it as text")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidJob(field, "is not a finite number; JSON has no NaN and no Infinity")
    return value


def _key(key: object, field: str) -> str:
    if not isinstance(key, str) or not is_unicode(key):
        raise InvalidJob(field, "has a key that is no text")
    return key


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can represent a text: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
