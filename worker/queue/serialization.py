"""Celery's JSON: kombu's own encoder and decoder, which keep datetime, UUID, Decimal and bytes.

kombu refuses a whole message if one value in it names a type that kombu does not know, so that its producer would wait
for ever. Here such a value stays the object that was sent: accept refuses the job and names the field, and a value for
the next task of a chain is sent on unchanged.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from kombu.serialization import register
from kombu.utils import json as kombu_json


def dumps(value: Any) -> str:
    """Return Celery's JSON of a value that `loads` has returned, or that consists of its types."""
    return str(kombu_json.dumps(value, separators=(",", ":")))


def loads(text: str | bytes) -> Any:
    """Return the value of Celery's JSON. An object that names an unknown type, or a wrong value of one, stays as it is.

    Raises:
        ValueError, RecursionError: the text is no JSON in UTF-8, or nested too deeply.
    """
    return kombu_json.loads(text, object_hook=_typed)


def amqp_value(value: Any) -> Any:
    """Return a header as AMQP can carry it: UUID, date and time become text. py-amqp raises on them."""
    match value:
        case dict():
            return {name: amqp_value(item) for name, item in value.items()}
        case list() | tuple():
            return [amqp_value(item) for item in value]
        case datetime():  # AMQP has a type for it
            return value
        case UUID() | date() | time():
            return str(value)
        case _:
            return value


def use_for_messages() -> None:
    """Decode every JSON message of this process with `loads`."""
    register("json", kombu_json.dumps, loads, content_type="application/json", content_encoding="utf-8")


def _typed(value: dict[str, Any]) -> Any:
    try:
        return kombu_json.object_hook(value)
    except Exception:  # noqa: BLE001 - each type's decoder raises errors of its own
        return value
