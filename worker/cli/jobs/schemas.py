"""The shapes that other services read, as models: the outcome of a job, and the body of a webhook."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.domain.job import JobState, Kind
from worker.domain.reason import Reason
from worker.domain.submission import EVENT_TYPES

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

Time = Annotated[str, Field(pattern=TIME, description="RFC 3339, UTC, milliseconds.")]
Records = Annotated[list[dict[str, Any]], Field(description="PhotoGPT's own records, passed through whole.")]


class Shape(BaseModel):
    """Every field is always there; what does not apply is null."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Summary(Shape):
    """A job without what it made: the `data` of a webhook that is thin, or would have been too large."""

    id: Annotated[str, Field(description="The Celery task id that the producer got.")]
    kind: Kind
    state: JobState
    reason: Annotated[Reason | None, Field(description="Why it did not succeed, or what stands in its way.")]
    error: Annotated[str | None, Field(description="The reason as a sentence for people.")]
    retryable: Annotated[bool | None, Field(description="Whether the same request, enqueued again, may succeed.")]
    generation_id: Annotated[str | None, Field(description="PhotoGPT's jobId; a training has none.")]
    model_id: str | None
    metadata: Annotated[dict[str, Any] | None, Field(description="As the producer handed it in.")]
    created_at: Time
    submitted_at: Annotated[Time | None, Field(description="When PhotoGPT had taken it.")]
    finished_at: Time | None
    polls: Annotated[int, Field(ge=0, description="How often PhotoGPT was asked how it is.")]


class Outcome(Summary):
    """A job, so far or for good: the Celery result, the record, the event's and the webhook's `data`."""

    images: Records
    videos: Records


class Webhook(Shape):
    """The body of a webhook; its headers are those of Standard Webhooks. Fields may be added under the same schema."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal[tuple(sorted(EVENT_TYPES))]  # type: ignore[valid-type]
    timestamp: Annotated[Time, Field(description="Of the event, not of the attempt.")]
    schema_: Annotated[Literal[1], Field(alias="schema", description="Of this body; what breaks it makes it 2.")]
    sequence: Annotated[int, Field(ge=1, le=4, description="The order of a job's events.")]
    truncated: Annotated[bool, Field(description="It would have been too large: `data` is without images and videos.")]
    outcome_url: Annotated[str | None, Field(description="Where the whole outcome is, if `data` is without outputs.")]
    outcome_key: Annotated[str | None, Field(description="The same as a key of Redis.")]
    data: Outcome | Summary
