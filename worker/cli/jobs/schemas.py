"""What other services read, as pydantic models: the outcome of a job, and the body of a webhook."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.domain.job import JobState, Kind
from worker.domain.reason import Reason
from worker.domain.submission import EVENT_TYPES

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

Time = Annotated[str, Field(pattern=TIME, description="RFC 3339, UTC, milliseconds.")]
Records = Annotated[list[dict[str, Any]], Field(description="PhotoGPT's own records, unchanged.")]


class Schema(BaseModel):
    """Every field is always present; a field that does not apply is null."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Summary(Schema):
    """A job without its outputs: the `data` of a thin webhook, or of one that would have been too large."""

    id: Annotated[str, Field(description="The Celery task id that the producer got.")]
    kind: Kind
    state: JobState
    reason: Annotated[Reason | None, Field(description="Why the job did not succeed, or what delays it.")]
    error: Annotated[str | None, Field(description="The reason as a sentence.")]
    retryable: Annotated[bool | None, Field(description="Whether the same request, enqueued again, may succeed.")]
    generation_id: Annotated[str | None, Field(description="PhotoGPT's jobId; a training has none.")]
    model_id: str | None
    metadata: Annotated[dict[str, Any] | None, Field(description="The producer's metadata, unchanged.")]
    created_at: Time
    submitted_at: Annotated[Time | None, Field(description="When PhotoGPT accepted the trigger.")]
    finished_at: Time | None
    polls: Annotated[int, Field(ge=0, description="How often workers polled PhotoGPT.")]


class Outcome(Summary):
    """A job, final or not: the Celery result, the record, and the `data` of events and webhooks."""

    images: Records
    videos: Records


class Webhook(Schema):
    """The body of a webhook; the headers are those of Standard Webhooks. New fields may appear under this schema."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal[tuple(sorted(EVENT_TYPES))]  # type: ignore[valid-type]
    timestamp: Annotated[Time, Field(description="Time of the event, not of the attempt.")]
    schema_: Annotated[Literal[1], Field(alias="schema", description="Version of this body; a breaking change is 2.")]
    sequence: Annotated[int, Field(ge=1, le=4, description="The order of a job's events.")]
    truncated: Annotated[bool, Field(description="True if `data` lacks images and videos because it was too large.")]
    outcome_url: Annotated[str | None, Field(description="Where to get the whole outcome, if `data` has no outputs.")]
    outcome_key: Annotated[str | None, Field(description="The Redis key of the whole outcome.")]
    data: Outcome | Summary
