"""What a producer hands in, before it is a job."""

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

from config.fields import Network
from config.settings import Settings
from worker.domain.errors import SubmissionError
from worker.domain.job import Job, JobState, JsonObject, Kind
from worker.domain.requests import REFERENCE_IMAGES, REQUESTS

MAX_DEADLINE_S = 7 * 86_400  # the longest window that GET /jobs can be asked for
MAX_URL = 2048
MAX_KEY = 255
MAX_TENANT = 100
LARGEST_REQUEST = 256_000  # bytes of JSON; references go by URL

EVENT_TYPES = frozenset(f"{noun}.{state.value}" for noun in ("job", "model") for state in JobState)


class Submission(BaseModel):
    """The keyword arguments of the four generation tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    request: dict[StrictStr, Any]
    webhook_url: StrictStr | None = None
    webhook_events: list[StrictStr] | None = None
    metadata: dict[StrictStr, Any] | None = None
    deadline_s: Annotated[StrictInt | StrictFloat, Field(gt=0, le=MAX_DEADLINE_S)] | None = None
    idempotency_key: Annotated[StrictStr, Field(min_length=1, max_length=MAX_KEY)] | None = None
    tenant: Annotated[StrictStr, Field(min_length=1, max_length=MAX_TENANT)] | None = None

    @check("webhook_url")
    @classmethod
    def _is_callable(cls, value: str | None) -> str | None:
        if value is not None:
            check_webhook_url(value)
        return value

    @check("webhook_events")
    @classmethod
    def _are_known(cls, value: list[str] | None) -> list[str] | None:
        for name in value or []:
            if name not in EVENT_TYPES:
                raise ValueError(f"{name!r} is no event; known are {', '.join(sorted(EVENT_TYPES))}")
        return value

    @property
    def digest(self) -> str:
        """What makes two submissions the same wish: the body PhotoGPT would get."""
        text = json.dumps(self.request, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the settings say about submissions."""

    metadata_max_bytes: int
    webhook_schemes: tuple[str, ...] = ("https", "http")
    #: Inside the allowed networks any; which address a name leads to is not known before the socket opens.
    webhook_ports: tuple[int, ...] | None = None
    webhook_allow_networks: tuple[Network, ...] = ()


def limits_of(settings: Settings) -> Limits:
    """Return what the settings say about submissions."""
    return Limits(
        metadata_max_bytes=settings.metadata_max_bytes,
        webhook_schemes=settings.webhook_schemes,
        webhook_ports=settings.webhook_ports,
        webhook_allow_networks=settings.webhook_allow_networks,
    )


def check_webhook_target(url: str, limits: Limits) -> None:
    """Refuse a URL whose scheme or port webhooks do not go to here.

    Raises:
        ValueError: says which do.
    """
    check_webhook_url(url)
    parts = urlsplit(url)
    if parts.scheme not in limits.webhook_schemes:
        known = ", ".join(f"{name}://" for name in limits.webhook_schemes)
        raise ValueError(f"begins with {parts.scheme}://, and webhooks go to {known} only")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if limits.webhook_ports is None or port in limits.webhook_ports:
        return
    try:
        address = ipaddress.ip_address(str(parts.hostname).partition("%")[0])
    except ValueError:
        open_to_it = bool(limits.webhook_allow_networks)  # it may lead there
    else:
        open_to_it = any(address in network for network in limits.webhook_allow_networks)
    if not open_to_it:
        known = ", ".join(map(str, limits.webhook_ports))
        raise ValueError(f"names port {port}, and webhooks go to {known} only (PHOTOGPT_WEBHOOK_PORTS)")


def check_webhook_url(url: str) -> None:
    """Refuse what can never be delivered to. Where it leads is checked when the socket opens.

    Raises:
        ValueError: says what is wrong with it.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("must not hold spaces or control characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"must start with https:// or http://, not {parts.scheme or 'nothing'}:")
    if not host:
        raise ValueError("names no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; receivers verify the signature instead")
    if len(url) > MAX_URL:
        raise ValueError(f"is longer than {MAX_URL} characters")


def parse_submission(kind: Kind, args: list[Any], kwargs: JsonObject, limits: Limits) -> Submission:
    """Return what the producer means, filled up from the outcome of the task before.

    Args:
        kind: what the task generates.
        args: positional arguments; in a chain, the first is the outcome of the task before.
        kwargs: keyword arguments as they came.
        limits: what the settings allow.

    Raises:
        SubmissionError: names the first argument that cannot be used.
    """
    if len(args) > 1:
        raise SubmissionError(field="", problem="takes keyword arguments only: request=…, webhook_url=…")
    try:
        submission = Submission.model_validate(_piped(kind, args[0] if args else None, kwargs))
        body = _adapter(kind).validate_python(submission.request)
    except ValidationError as error:
        raise _first(error, known=Submission.model_fields.keys() if error.title == "Submission" else ()) from None
    _check_sizes(submission, limits)
    _check_target(submission, limits)
    _check_references(submission.request)
    del body  # validated; what goes out is what came in, so that nothing is added or dropped
    return submission


def new_job(  # noqa: PLR0913 - one sentence
    job_id: str, kind: Kind, submission: Submission, *, settings: Settings, at: float, result: JsonObject | None = None
) -> Job:
    """Return the job that a submission becomes.

    Args:
        job_id: the Celery task id.
        kind: what is generated.
        submission: as parsed.
        settings: what holds where the submission is silent.
        at: epoch seconds by Redis' clock; the deadline counts from here.
        result: see `Job.result`.
    """
    usual = settings.model_deadline_s if kind is Kind.TRAINING else settings.job_deadline_s
    return Job(
        id=job_id,
        kind=kind,
        request=submission.request,
        metadata=submission.metadata,
        webhook_url=submission.webhook_url or settings.webhook_url,
        webhook_events=tuple(submission.webhook_events or ()),
        tenant=submission.tenant,
        idempotency_key=submission.idempotency_key,
        result=result,
        created_at=at,
        deadline_at=at + (submission.deadline_s or usual),
    )


def _piped(kind: Kind, before: Any, kwargs: JsonObject) -> JsonObject:
    """Fill what the request leaves out: `modelID` from a training, `imageID` from the first image."""
    request = kwargs.get("request", {} if _outcomes(before) else None)
    if not isinstance(request, dict):
        return kwargs if "request" in kwargs else dict(kwargs)
    filled = dict(request)
    for outcome in _outcomes(before):
        if kind is Kind.UPSCALE and "imageID" not in filled and (image := _first_image(outcome)):
            filled["imageID"] = image
        if kind is not Kind.UPSCALE and "modelID" not in filled and outcome.get("kind") == Kind.TRAINING:
            filled["modelID"] = outcome.get("model_id")
    return {**kwargs, "request": filled}


def _first_image(outcome: JsonObject) -> str | None:
    images = outcome["images"]
    first = images[0] if isinstance(images, list) and images else None
    name = first.get("id") if isinstance(first, dict) else None
    return name if isinstance(name, str) else None


def _outcomes(before: Any) -> list[JsonObject]:
    """Outcomes among what the task before returned; a chord's body gets a list."""
    candidates = before if isinstance(before, list) else [before]
    return [item for item in candidates if isinstance(item, dict) and {"kind", "state", "images"} <= item.keys()]


@cache
def _adapter(kind: Kind) -> TypeAdapter[Any]:
    return TypeAdapter(REQUESTS[kind])


def _first(error: ValidationError, *, known: Any) -> SubmissionError:
    problem = error.errors(include_url=False, include_input=False)[0]
    location = [str(part) for part in problem["loc"] if part not in {"public", "trained", "int", "float"}]
    message = "is required" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
    if known:
        if problem["type"] == "extra_forbidden":
            message = f"is not an argument of this task; known are {', '.join(known)}"
        return SubmissionError(field=".".join(location), problem=message)
    return SubmissionError(field=".".join(["request", *location]), problem=message)


def _check_sizes(submission: Submission, limits: Limits) -> None:
    for field, value, limit in (
        ("metadata", submission.metadata, limits.metadata_max_bytes),
        ("request", submission.request, LARGEST_REQUEST),
    ):
        size = _json_size(field, value) if value is not None else 0
        if size > limit:
            raise SubmissionError(field=field, problem=f"is {size} bytes of JSON, {limit} are allowed")


def _check_target(submission: Submission, limits: Limits) -> None:
    try:
        if submission.webhook_url is not None:
            check_webhook_target(submission.webhook_url, limits)
    except ValueError as error:
        raise SubmissionError(field="webhook_url", problem=str(error)) from None


def _json_size(field: str, value: JsonObject) -> int:
    try:
        return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, RecursionError):  # NaN, infinity, half a surrogate pair, or nested without end
        raise SubmissionError(field=field, problem="holds something that JSON in UTF-8 cannot carry") from None


def _check_references(request: JsonObject) -> None:
    model, references = request.get("modelID"), request.get("referenceImageURLs")
    limit = REFERENCE_IMAGES.get(model) if isinstance(model, str) else None
    given = len(references) if isinstance(references, list) else 0
    if limit is not None and given > limit:
        raise SubmissionError(
            field="request.referenceImageURLs",
            problem=f"holds {given} URLs, {request['modelID']} takes {limit} at most",
        )
