"""A job: one requested generation, from enqueue to outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from worker.domain.reason import Reason

JsonObject = dict[str, Any]


class Kind(StrEnum):
    """What is generated. Each has a task, an endpoint, and a thing to look at."""

    IMAGE = "image"
    UPSCALE = "upscale"
    VIDEO = "video"
    TRAINING = "training"


class JobState(StrEnum):
    """What drives a job. Everything finer is a `Reason`."""

    QUEUED = "queued"  # accepted; PhotoGPT has not been asked, or its answer is not known yet
    SUBMITTED = "submitted"  # triggered, and paid for
    RUNNING = "running"  # PhotoGPT says that it works on it
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELED})

SEQUENCE = {JobState.QUEUED: 1, JobState.SUBMITTED: 2, JobState.RUNNING: 3} | dict.fromkeys(TERMINAL, 4)
"""The order of a job's events, so that a receiver can tell a late one from a new one."""

TASKS = {
    Kind.IMAGE: "photogpt.generate_image",
    Kind.UPSCALE: "photogpt.upscale_image",
    Kind.VIDEO: "photogpt.generate_video",
    Kind.TRAINING: "photogpt.train_model",
}
"""The Celery task of each kind: names that other services depend on."""


def rfc3339(seconds: float) -> str:
    """Return epoch seconds as UTC text with milliseconds, as PhotoGPT writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(text: str) -> float:
    """Return RFC 3339 text as epoch seconds. A time that names no zone is UTC, wherever this host stands.

    Raises:
        ValueError: the text is no time.
    """
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def parse_time(value: object) -> float | None:
    """Return a time as PhotoGPT tells it, epoch seconds, or None if it cannot be read."""
    try:
        return epoch(str(value))
    except ValueError:
        return None


def truncate(text: str, length: int) -> str:
    """Return a text of at most so many characters; what is cut off leaves an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What the ledger holds of one job. Times are epoch seconds by Redis' clock."""

    #: The Celery task id that the producer got.
    id: str
    kind: Kind
    state: JobState = JobState.QUEUED
    #: The body that PhotoGPT gets, as validated.
    request: JsonObject
    #: Handed in by the producer and echoed everywhere.
    metadata: JsonObject | None = None
    webhook_url: str | None = None
    #: Event types the producer wants to hear of; empty means every terminal one.
    webhook_events: tuple[str, ...] = ()
    #: Whose job it is, for fair picking where jobs wait for room.
    tenant: str | None = None
    idempotency_key: str | None = None
    #: How its result gets to Celery: what else stands in it (`group_id`, `parent_id`) where the script that ends the
    #: job writes it; None where a message has to, since a canvas hangs on it.
    result: JsonObject | None = None
    #: The job whose generation this one shares, since both were enqueued with one idempotency key.
    duplicate_of: str | None = None

    created_at: float
    deadline_at: float
    submitted_at: float | None = None
    #: When a look last showed that it had not ended.
    last_polled_at: float | None = None
    #: How long its generation took, where PhotoGPT's list of jobs told.
    duration_s: float | None = None
    #: Set before PhotoGPT is asked, gone once the answer is known: an open intent may have been paid for.
    intent_at: float | None = None
    #: PhotoGPT said yes to the open intent and named nothing: asking again would pay twice.
    accepted_without_id: bool = False
    #: How often PhotoGPT was asked to start it.
    attempts: int = 0
    #: How often it was looked at.
    polls: int = 0

    generation_id: str | None = None
    #: Training: status and time stamp of the model before it was asked to train.
    model_fingerprint_before: str | None = None
    #: What stands in the way at the moment.
    reason: Reason | None = None
    error: str | None = None

    @property
    def model_id(self) -> str | None:
        """The model that the request names."""
        value = self.request.get("modelID")
        return value if isinstance(value, str) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """How a job ends: what a step decided, before it is stored."""

    state: JobState
    reason: Reason | None = None
    #: One sentence for the reader: what happened, to which job, what follows.
    error: str | None = None
    images: tuple[JsonObject, ...] = ()
    videos: tuple[JsonObject, ...] = ()
    #: The model that PhotoGPT says the generation belongs to.
    model_id: str | None = None
    #: The generation, where the job itself did not trigger it.
    generation_id: str | None = None


def outcome(job: Job, ending: JobResult | None = None, *, at: float | None = None) -> JsonObject:
    """Return the one shape that results, records and webhooks share.

    Before the end it tells how far the job is; `ending` and `at` (epoch seconds) make it final.
    """
    reason = ending.reason if ending else job.reason
    return {
        "id": job.id,
        "kind": job.kind.value,
        "state": (ending.state if ending else job.state).value,
        "reason": reason.value if reason else None,
        "error": ending.error if ending else job.error,
        "retryable": _retryable(job, reason) if reason else None,
        "generation_id": (ending.generation_id if ending else None) or job.generation_id,
        "model_id": (ending.model_id if ending else None) or job.model_id,
        "images": list(ending.images) if ending else [],
        "videos": list(ending.videos) if ending else [],
        "metadata": job.metadata,
        "created_at": rfc3339(job.created_at),
        "submitted_at": rfc3339(job.submitted_at) if job.submitted_at else None,
        "finished_at": rfc3339(at) if ending and at else None,
        "polls": job.polls,
    }


def _retryable(job: Job, reason: Reason) -> bool:
    if reason is Reason.DEADLINE_EXCEEDED:  # nothing was paid for unless PhotoGPT may have been asked
        return job.generation_id is None and job.intent_at is None and job.submitted_at is None
    return reason.retryable
