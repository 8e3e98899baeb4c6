"""What other services write and read, as pydantic models: entries of the inbox, outcomes, events and webhooks."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model

from worker.domain.inbox_entry import BatchFields, Id
from worker.domain.job import JobState, Kind
from worker.domain.reason import Reason
from worker.domain.requests import REFERENCE_IMAGES, REQUESTS
from worker.domain.submission import EVENT_TYPES, Submission

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

Time = Annotated[str, Field(pattern=TIME, description="RFC 3339, UTC, milliseconds.")]
Records = Annotated[list[dict[str, Any]], Field(description="PhotoGPT's own records, unchanged.")]


class Schema(BaseModel):
    """Every field is always present; a field that does not apply is null."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Schema):
    """An image or video that the service stored."""

    key: Annotated[str, Field(description="Below the prefix of the bucket, or in the folder.")]
    bytes: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    content_type: Annotated[str, Field(description="By the first bytes of the file.")]
    source_url: Annotated[str, Field(description="Where it was downloaded from; that URL may have expired.")]


class Summary(Schema):
    """A job without its outputs: the `data` of a thin webhook, or of one that would have been too large."""

    id: Annotated[str, Field(description="The job's id: of the Celery task, or of the entry in the inbox.")]
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
    files_error: Annotated[str | None, Field(description="Which outputs could not be stored, and why.")]


class Outcome(Summary):
    """A job, final or not: the Celery result, the record, and the `data` of events and webhooks."""

    images: Records
    videos: Records
    files: Annotated[list[File], Field(description="The stored files, with PHOTOGPT_OUTPUTS.")]


class Webhook(Schema):
    """The body of a webhook; the headers are those of Standard Webhooks. New fields may appear under this schema."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal[tuple(sorted(EVENT_TYPES))]  # type: ignore[valid-type]
    timestamp: Annotated[Time, Field(description="Time of the event, not of the attempt.")]
    schema_: Annotated[Literal[1], Field(alias="schema", description="Version of this body; a breaking change is 2.")]
    sequence: Annotated[int, Field(ge=1, le=5, description="The order of a job's events.")]
    truncated: Annotated[
        bool, Field(description="True if `data` lacks images, videos and files because it was too large.")
    ]
    outcome_url: Annotated[str | None, Field(description="Where to get the whole outcome, if `data` has no outputs.")]
    outcome_key: Annotated[str | None, Field(description="The Redis key of the whole outcome.")]
    data: Outcome | Summary


class _JobEntry(Submission):
    """The JSON in the field `job` of an entry of the inbox. Null means the same as left out."""

    v: Annotated[Literal[1] | None, Field(description="Version of this format.")] = None
    id: Annotated[Id | None, Field(description="The job's id; left out: `inbox-` and the id of the entry.")] = None
    batch: BatchFields | None = None
    traceparent: Annotated[str | None, Field(description="W3C trace context of the producer.")] = None


def _entry_of(kind: Kind) -> type[BaseModel]:
    """Return the entry that asks for a job of one kind."""
    name, fields = f"{kind.value.title()}Entry", {"kind": Literal[kind.value], "request": REQUESTS[kind]}
    return create_model(name, __base__=_JobEntry, __doc__=_JobEntry.__doc__, **fields)


class CancelJob(BaseModel):
    """The JSON in the field `job` of an entry of the inbox that cancels a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] | None = None
    kind: Literal["cancel"]
    job_id: Id


JOB_ENTRIES = tuple(_entry_of(kind) for kind in Kind)

InboxEntry: Any = Union[*JOB_ENTRIES, CancelJob]
"""The JSON in the field `job` of an entry."""


class Event(BaseModel):
    """An entry of a job's event stream: names and texts."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal[tuple(sorted(EVENT_TYPES))]  # type: ignore[valid-type]
    sequence: Annotated[str, Field(pattern="^[1-5]$", description="The order of a job's events.")]
    timestamp: Time
    data: Annotated[
        str | None,
        Field(description="The outcome as JSON; only the event that ends the job, and those about its files, have it."),
    ] = None


class Batch(Schema):
    """How the jobs of a batch have ended: `data` of the event `batch.finished`."""

    id: Id
    total: Annotated[int, Field(ge=1)]
    succeeded: Annotated[int, Field(ge=0)]
    failed: Annotated[int, Field(ge=0)]
    expired: Annotated[int, Field(ge=0)]
    canceled: Annotated[int, Field(ge=0)]
    rejected: Annotated[int, Field(ge=0, description="Entries of the inbox that became no job.")]
    created_at: Time
    finished_at: Time


def choose_by_model(schema: Any) -> None:
    """Let the model decide, wherever the two bodies of an image request stand in a schema, which of them is valid."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        choose_by_model(part)
    if isinstance(schema, dict) and "oneOf" in schema:
        public, trained = schema.pop("oneOf")
        schema |= {"if": {"properties": {"modelID": {"enum": list(REFERENCE_IMAGES)}}}, "then": public, "else": trained}
