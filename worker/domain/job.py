"""A job: one requested generation, from enqueue to outcome."""

from __future__ import annotations

from dataclasses import dataclass
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
