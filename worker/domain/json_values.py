"""Turns Python values into JSON values: what has one text form becomes that text, any other is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from worker.domain.errors import SubmissionError
from worker.domain.text import truncate

MAX_DEPTH = 100  # levels of objects and lists; Python's own JSON parser stops at about 1,000
MAX_BITS = 14_000  # of an integer; Python neither writes nor reads one of more than 4,300 digits
MAX_FIELD = 200  # characters of a dotted name in an error
TYPE_MARK = {"__type__", "__value__"}
"""The keys of an object that Celery's JSON reads as a value of another type."""

AS_TEXT: dict[type, Callable[[Any], str]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    UUID: str,
}
"""The types with one text form. A datetime without a zone stays without one."""


def json_value(value: object, field: str, depth: int = 0) -> Any:
    """Return a value as JSON holds it: UUID and Decimal as text, times as RFC 3339 text, a tuple as a list.

    Args:
        value: of any type.
        field: the dotted name of the value.
        depth: levels above the value.

    Raises:
        SubmissionError: the value has no JSON form; names the field inside it, never its content.
    """
    if depth > MAX_DEPTH:
        outermost = field.partition(".")[0]
        raise SubmissionError(field=outermost, problem=f"is nested more than {MAX_DEPTH} levels deep")
    match value:
        case None | bool():
            return value
        case str() | int() | float():
            return _checked(value, field)
        case dict():
            return _object(value, field, depth)
        case list() | tuple():
            return [json_value(item, _inside(field, str(index)), depth + 1) for index, item in enumerate(value)]
    for known, as_text in AS_TEXT.items():
        if isinstance(value, known):
            return as_text(value)
    name = type(value).__name__
    raise SubmissionError(field=_shown(field), problem=f"is of type {name}, which JSON cannot hold; send text instead")


def text_id(value: object) -> str | None:
    """Return an id, which may be a UUID, as text; None for a value that can be no id."""
    text = str(value) if isinstance(value, UUID) else value
    return text if isinstance(text, str) and text and _is_unicode(text) else None


def _checked(value: str | float, field: str) -> str | float:
    problem = ""
    if isinstance(value, str) and not _is_unicode(value):
        problem = "contains half a surrogate pair, which UTF-8 cannot represent"
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        problem = "is an integer of more than 4,200 digits; send it as text"
    elif isinstance(value, float) and not math.isfinite(value):
        problem = "is not a finite number; JSON has no NaN and no Infinity"
    if problem:
        raise SubmissionError(field=_shown(field), problem=problem)
    return value


def _object(value: dict[Any, Any], field: str, depth: int) -> dict[str, Any]:
    if value.keys() == TYPE_MARK:
        problem = "has the keys __type__ and __value__, by which Celery marks a type, and no type is known for them"
        raise SubmissionError(field=_shown(field), problem=problem)
    made: dict[str, Any] = {}
    for key, item in value.items():
        name = _key(key, field)
        if name in made:
            raise SubmissionError(field=_shown(_inside(field, name)), problem="is the text of two keys")
        made[name] = json_value(item, _inside(field, name), depth + 1)
    return made


def _key(key: object, field: str) -> str:
    """Return a key as JSON holds it; Python's JSON encoder does the same with numbers, booleans and None."""
    if isinstance(key, str):
        _checked(key, _inside(field, key))
        return key
    if key is not None and not isinstance(key, (int, float, *AS_TEXT)):
        problem = f"has a key of type {type(key).__name__}; keys must be text"
        raise SubmissionError(field=_shown(field), problem=problem)
    made = json_value(key, field)
    return made if isinstance(made, str) else json.dumps(made)


def _inside(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(field: str) -> str:
    """Return a dotted name that every terminal and UTF-8 can show."""
    return truncate(field.encode("utf-8", "backslashreplace").decode(), MAX_FIELD)
