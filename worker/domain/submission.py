"""Submissions: the arguments of the generation tasks, validated before they become a job."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)
from pydantic import field_validator as check

from worker.domain.errors import SubmissionError
from worker.domain.files import FILE_EVENTS
from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.json_values import json_value
from worker.domain.piping import fill_request
from worker.domain.requests import REFERENCE_IMAGES, REQUESTS
from worker.domain.start_time import MAX_DELAY_S, read_time

MAX_DEADLINE_S = 7 * 86_400  # the maximum period that GET /jobs can list
MAX_URL = 2048  # characters
MAX_KEY = 255
MAX_TENANT = 100
MAX_REQUEST = 256_000  # bytes of JSON; reference images are URLs

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVENT_TYPES = frozenset({f"{noun}.{state.value}" for noun in ("job", "model") for state in JobState} | {*FILE_EVENTS})


class Submission(BaseModel):
    """The validated keyword arguments of a generation task."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    request: dict[StrictStr, Any]
    webhook_url: StrictStr | None = None
    webhook_events: list[StrictStr] | None = None
    metadata: dict[StrictStr, Any] | None = None
    deadline_s: Annotated[StrictInt | StrictFloat, Field(gt=0, le=MAX_DEADLINE_S)] | None = None
    not_before: StrictStr | StrictInt | StrictFloat | None = None
    delay_s: Annotated[StrictInt | StrictFloat, Field(ge=0, le=MAX_DELAY_S)] | None = None
    idempotency_key: Annotated[StrictStr, Field(min_length=1, max_length=MAX_KEY)] | None = None
    tenant: Annotated[StrictStr, Field(min_length=1, max_length=MAX_TENANT)] | None = None

    @check("webhook_url")
    @classmethod
    def _has_valid_url(cls, value: str | None) -> str | None:
        if value is not None:
            check_webhook_url(value)
        return value

    @check("webhook_events")
    @classmethod
    def _has_known_events(cls, value: list[str] | None) -> list[str] | None:
        for name in value or []:
            if name not in EVENT_TYPES:
                raise ValueError(f"{name!r} is no event; known events are {', '.join(sorted(EVENT_TYPES))}")
        return value

    @check("not_before")
    @classmethod
    def _is_time(cls, value: str | float | None) -> str | float | None:
        if value is not None:
            read_time(value)
        return value

    @property
    def digest(self) -> str:
        """A hash of the request. Two submissions with the same digest ask PhotoGPT for the same generation."""
        text = json.dumps(self.request, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionLimits:
    """Limits that an operator sets for submissions."""

    #: Bytes of JSON.
    metadata_max_bytes: int
    webhook_schemes: tuple[str, ...] = ("https", "http")
    #: Ports for addresses outside of the allowed networks; None allows every port.
    webhook_ports: tuple[int, ...] | None = None
    #: Networks in which every port is allowed.
    webhook_allow_networks: tuple[Network, ...] = ()


def check_webhook_target(url: str, limits: SubmissionLimits) -> None:
    """Refuse a URL whose scheme or port the operator does not allow.

    Raises:
        ValueError: the scheme or the port is not allowed, or the URL is invalid.
    """
    check_webhook_url(url)
    parts = urlsplit(url)
    if parts.scheme not in limits.webhook_schemes:
        known = ", ".join(f"{name}://" for name in limits.webhook_schemes)
        raise ValueError(f"begins with {parts.scheme}://, and webhooks go to {known} only")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if limits.webhook_ports is None or port in limits.webhook_ports:
        return
    if not _may_be_in_networks(str(parts.hostname), limits.webhook_allow_networks):
        known = ", ".join(map(str, limits.webhook_ports))
        raise ValueError(f"names port {port}, and webhooks go to {known} only (PHOTOGPT_WEBHOOK_PORTS)")


def _may_be_in_networks(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether a host is in one of the networks. A name may be in any: it is resolved only when the socket opens."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return bool(networks)
    return any(address in network for network in networks)


def check_webhook_url(url: str) -> None:
    """Refuse a URL to which no webhook can be sent. Its address is checked later, when the socket opens.

    Raises:
        ValueError: the URL is invalid; the message says why.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("must not contain spaces or control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"must start with https:// or http://, not {parts.scheme or 'nothing'}:")
    if not host:
        raise ValueError("names no host")
    if port == 0:
        raise ValueError("names port 0")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password; receivers verify the signature instead")
    if len(url) > MAX_URL:
        raise ValueError(f"is longer than {MAX_URL} characters")


def parse_submission(kind: Kind, args: list[Any], kwargs: JsonObject, limits: SubmissionLimits) -> Submission:
    """Validate the arguments of a task. In a chain, the outcome of the task before fills what the request leaves out.

    Args:
        kind: of the task.
        args: positional arguments; in a chain, the first is the outcome of the task before.
        kwargs: keyword arguments; values that have one text form may be of other types than JSON's.
        limits: of the operator.

    Raises:
        SubmissionError: an argument is invalid; names the first one.
    """
    if len(args) > 1:
        raise SubmissionError(field="", problem="takes keyword arguments only: request=…, webhook_url=…")
    arguments = json_value(fill_request(kind, args[0] if args else None, kwargs), "")
    try:
        submission = Submission.model_validate(arguments)
    except ValidationError as error:
        raise _argument_error(error) from None
    try:
        _adapter(kind).validate_python(submission.request)  # checks only: PhotoGPT gets the request unchanged
    except ValidationError as error:
        raise _request_error(error) from None
    _check_sizes(submission, limits)
    _check_target(submission, limits)
    _check_references(submission.request)
    return submission


def valid_metadata(kwargs: JsonObject, limits: SubmissionLimits) -> JsonObject | None:
    """Return the metadata of arguments that may be invalid, or None if it is the metadata that is."""
    try:
        metadata = json_value(kwargs.get("metadata"), "metadata")
    except SubmissionError:
        return None
    return metadata if isinstance(metadata, dict) and _json_size(metadata) <= limits.metadata_max_bytes else None


def valid_webhook_url(kwargs: JsonObject, limits: SubmissionLimits) -> str | None:
    """Return the webhook URL of arguments that may be invalid, or None if it is the URL that is."""
    url = kwargs.get("webhook_url")
    try:
        check_webhook_target(url if isinstance(url, str) else "", limits)
    except ValueError:
        return None
    return url


@cache
def _adapter(kind: Kind) -> TypeAdapter[Any]:
    return TypeAdapter(REQUESTS[kind])


def _argument_error(error: ValidationError) -> SubmissionError:
    field, problem = first_problem(error)
    if error.errors()[0]["type"] == "extra_forbidden":
        problem = f"is not an argument of this task; known arguments are {', '.join(Submission.model_fields)}"
    return SubmissionError(field=field, problem=problem)


def _request_error(error: ValidationError) -> SubmissionError:
    field, problem = first_problem(error)
    return SubmissionError(field=f"request.{field}" if field else "request", problem=problem)


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the dotted name of the first invalid field, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part not in {"public", "trained", "int", "float"})
    return field, "is required" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")


def _check_sizes(submission: Submission, limits: SubmissionLimits) -> None:
    for field, value, limit in (
        ("metadata", submission.metadata, limits.metadata_max_bytes),
        ("request", submission.request, MAX_REQUEST),
    ):
        size = _json_size(value) if value is not None else 0
        if size > limit:
            raise SubmissionError(field=field, problem=f"has {size} bytes of JSON, {limit} are allowed")


def _check_target(submission: Submission, limits: SubmissionLimits) -> None:
    try:
        if submission.webhook_url is not None:
            check_webhook_target(submission.webhook_url, limits)
    except ValueError as error:
        raise SubmissionError(field="webhook_url", problem=str(error)) from None


def _json_size(value: JsonObject) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _check_references(request: JsonObject) -> None:
    model, references = request.get("modelID"), request.get("referenceImageURLs")
    limit = REFERENCE_IMAGES.get(model) if isinstance(model, str) else None
    given = len(references) if isinstance(references, list) else 0
    if limit is not None and given > limit:
        raise SubmissionError(
            field="request.referenceImageURLs",
            problem=f"has {given} URLs, {request['modelID']} takes at most {limit}",
        )
