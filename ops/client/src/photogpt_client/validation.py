"""Checks the arguments of a job before anything is sent. pydantic is imported at the first check."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from photogpt_client import arguments
from photogpt_client.errors import InvalidJob
from photogpt_client.json_values import is_unicode, json_value

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

MAX_ID = 255  # characters
MAX_URL = 2048  # characters
MAX_REQUEST = 256_000  # bytes of JSON
REFERENCE_IMAGES = {
    "nanobanana": 3,
    "nanobanana-pro": 14,
    "nanobanana-2": 14,
    "seedream": 10,
    "seedream-4_5": 10,
    "seedream-5-lite": 10,
    "gpt-image-2": 10,
}
"""The maximum number of reference images of each public image model. They need a prompt."""

OPTIONS = frozenset(arguments.Options.__annotations__)
NESTED: tuple[Any, ...] = (arguments.VeoOptions, arguments.VideoOptions)
"""Here fields that this version does not know pass, because PhotoGPT may add some at any time."""


def split(shape: Any, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check arguments, and return the request for PhotoGPT and the options of the job, both as JSON values.

    Args:
        shape: a TypedDict of `photogpt_client.arguments`.
        given: the keyword arguments.

    Raises:
        InvalidJob: names the first argument that cannot be used.
    """
    _check_types(shape, given)
    extra = json_value(given.get("extra", {}), "extra")
    for name in extra.keys() & shape.__annotations__.keys():
        raise InvalidJob(f"extra.{name}", f"has an argument of its own: {name}=…")
    options = {name: json_value(_aware(name, given[name]), name) for name in given if name in OPTIONS - {"extra"}}
    request = {name: json_value(value, name) for name, value in given.items() if name not in OPTIONS}
    request |= extra
    _check_options(options)
    _check_size(request)
    return request, options


def checked_id(field: str, value: object) -> str:
    """Return the id of a job or batch as text.

    Raises:
        InvalidJob: it can be no id; names `field`.
    """
    text = str(value) if isinstance(value, str | UUID) else ""
    if not 1 <= len(text) <= MAX_ID or not is_unicode(text):
        raise InvalidJob(field, f"must be a UUID, or a text of 1 to {MAX_ID} characters")
    return text


def check_image(request: Mapping[str, Any]) -> None:
    """Check what only the public image models need.

    Raises:
        InvalidJob: the prompt is missing, or there are too many reference images.
    """
    limit = REFERENCE_IMAGES.get(str(request.get("modelID")))
    if limit is None:
        return
    if not request.get("prompt"):
        raise InvalidJob("prompt", f"is required by {request['modelID']}")
    given = len(request.get("referenceImageURLs", ()))
    if given > limit:
        raise InvalidJob("referenceImageURLs", f"has {given} URLs, {request['modelID']} takes at most {limit}")


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415 - takes 100 ms

    for nested in NESTED:
        nested.__pydantic_config__ = ConfigDict(strict=True, extra="allow")
    shape.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return TypeAdapter(shape)


def _check_types(shape: Any, given: Mapping[str, Any]) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - takes 100 ms

    try:
        _adapter(shape).validate_python(dict(given))
    except ValidationError as error:
        raise _invalid(shape, error) from None
    for name, value in given.items():
        if isinstance(value, Decimal):  # pydantic takes it for a number, and JSON for a text
            raise InvalidJob(name, "must not be a Decimal; use float()")


def _invalid(shape: Any, error: ValidationError) -> InvalidJob:
    """Return the first problem; a field that may have several types has one problem for each."""
    problems = error.errors(include_url=False, include_input=False)
    first = problems[0]
    name = str(first["loc"][0])
    if first["type"] == "missing":
        return InvalidJob(name, "is required")
    if first["type"] == "extra_forbidden":
        return InvalidJob(
            name, f"is not known; known are {', '.join(shape.__annotations__)}; others go into extra={{}}"
        )
    alternatives = [problem["msg"] for problem in problems if problem["loc"][0] == name]
    path = [str(part) for part in first["loc"]]
    if name in OPTIONS and name not in {"metadata", "webhook_events", "extra"}:
        path = path[:1]  # what follows names one of the types
    return InvalidJob(".".join(path), " or ".join(dict.fromkeys(alternatives[: 3 if path == [name] else 1])))


def _aware(name: str, value: object) -> object:
    """Return a value. A datetime without a zone is refused: this machine's zone is not the worker's."""
    if name == "not_before" and isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidJob("not_before", "has no time zone: use datetime.now(UTC) or .astimezone()")
    return value


def _check_options(options: Mapping[str, Any]) -> None:
    if options.get("webhook_url") is not None:
        check_url(options["webhook_url"])
    if options.get("not_before") is not None:
        _check_start(options["not_before"])


def _check_start(not_before: str | float) -> None:
    """Refuse text that is no time, and a time too far ahead."""
    if start_of(not_before) > time.time() + arguments.MAX_DELAY_S:
        raise InvalidJob("not_before", "is more than 366 days ahead; times are seconds, not milliseconds")


def start_of(not_before: str | float) -> float:
    """Return a start time as epoch seconds. Text without a zone is UTC, as in the service.

    Raises:
        InvalidJob: the text is no time.
    """
    try:
        at = datetime.fromisoformat(not_before) if isinstance(not_before, str) else None
        return float(not_before) if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidJob("not_before", "must be RFC 3339 text, 2026-12-24T18:00:00Z, or epoch seconds") from None


def check_url(url: str) -> None:
    """Check a URL for webhooks. Workers check its address when they open the connection.

    Raises:
        InvalidJob: no webhook can be sent to the URL.
    """
    problem = _url_problem(url)
    if problem:
        raise InvalidJob("webhook_url", problem)


def _url_problem(url: str) -> str:
    if not url.isprintable() or " " in url:
        return "must not contain spaces or control characters"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme not in {"http", "https"}:
        return "must start with https:// or http://"
    if not host or port == 0:
        return "names no host" if not host else "names port 0"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user name or password"
    return f"is longer than {MAX_URL} characters" if len(url) > MAX_URL else ""


def _check_size(request: Mapping[str, Any]) -> None:
    size = len(json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode())
    if size > MAX_REQUEST:
        raise InvalidJob("request", f"has {size} bytes of JSON, {MAX_REQUEST} are allowed")
