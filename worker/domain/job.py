"""A job: one requested generation, from enqueue to outcome."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.domain.reason import Reason

JsonObject = dict[str, Any]


class Kind(StrEnum):
    """What is generated. Each kind has a Celery task and an endpoint of PhotoGPT."""

    IMAGE = "image"
    UPSCALE = "upscale"
    VIDEO = "video"
    TRAINING = "training"


class JobState(StrEnum):
    """How far a job is. A `Reason` says why."""

    QUEUED = "queued"  # accepted; not triggered, or the answer to its trigger is not known yet
    SUBMITTED = "submitted"  # PhotoGPT accepted the trigger, and charges for it
    RUNNING = "running"  # PhotoGPT reports that it works on it
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELED})

SEQUENCE = {JobState.QUEUED: 1, JobState.SUBMITTED: 2, JobState.RUNNING: 3} | dict.fromkeys(TERMINAL, 4)
"""The order of a job's events, so that a receiver can drop one that arrives late."""

TASKS = {
    Kind.IMAGE: "photogpt.generate_image",
    Kind.UPSCALE: "photogpt.upscale_image",
    Kind.VIDEO: "photogpt.generate_video",
    Kind.TRAINING: "photogpt.train_model",
}
"""The Celery task of each kind. Other services send these names."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that a producer sent together."""

    id: str
    #: How many jobs the producer sends; 0 if this item does not say.
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job as Redis stores it. Times are epoch seconds by Redis' clock."""

    #: The producer's: the id of the Celery task, or of the entry in the inbox.
    id: str
    kind: Kind
    state: JobState = JobState.QUEUED
    #: The validated body for PhotoGPT.
    request: JsonObject
    #: The producer's own data, repeated in outcome, events and webhooks.
    metadata: JsonObject | None = None
    webhook_url: str | None = None
    #: Event types for which webhooks are sent; empty: those of ended jobs.
    webhook_events: tuple[str, ...] = ()
    #: For fair admission between tenants.
    tenant: str | None = None
    idempotency_key: str | None = None
    #: Without a canvas: the other fields of the Celery result (`group_id`, `parent_id`), which the script that ends the
    #: job writes. None with a canvas: then a message lets Celery write the result and go on.
    result_meta: JsonObject | None = None
    #: The span under which the job's spans begin, in W3C's form; None without a trace.
    traceparent: str | None = None
    #: The first job with the same idempotency key; this job ends like it.
    duplicate_of: str | None = None
    #: Set for a job of a batch, which counts how its jobs end.
    batch: Batch | None = None

    created_at: float
    #: The job starts then; None if it started when it was accepted.
    not_before: float | None = None
    #: The job ends then, unless it has started; None without `not_before`.
    expires_at: float | None = None
    #: When a job with `not_before` started: from then on it waits for admission, and `expires_at` no longer counts.
    started_at: float | None = None
    #: Counted from the start.
    deadline_at: float
    submitted_at: float | None = None
    #: The last poll that showed the generation under way.
    last_polled_at: float | None = None
    #: PhotoGPT's word at the last poll that showed one, and the first poll that showed it.
    photogpt_status: str | None = None
    photogpt_status_since: float | None = None
    #: Seconds that the generation took, if PhotoGPT's list of jobs shows it.
    duration_s: float | None = None
    #: Set before the trigger, cleared when its answer is known: an open intent may have been paid for.
    intent_at: float | None = None
    #: PhotoGPT accepted the open intent's trigger without an id: a second trigger would pay twice.
    accepted_without_id: bool = False
    #: Number of triggers.
    attempts: int = 0
    #: Number of polls.
    polls: int = 0

    generation_id: str | None = None
    #: Training only: the model's fingerprint before the trigger.
    model_fingerprint_before: str | None = None
    #: Why the job makes no progress at the moment.
    reason: Reason | None = None
    error: str | None = None

    @property
    def model_id(self) -> str | None:
        """The model that the request names."""
        value = self.request.get("modelID")
        return value if isinstance(value, str) else None
