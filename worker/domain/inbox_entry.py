"""Entries of the inbox, by `ops/docs/inbox.md`. The arguments of the job in one are checked later, by accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from worker.domain.errors import SubmissionError
from worker.domain.job import Batch, JsonObject, Kind
from worker.domain.json_values import text_id
from worker.domain.submission import first_problem

FIELD = "job"
"""The one field of an entry."""

MAX_ENTRY = 1_000_000  # characters of JSON
MAX_ID = 255
MAX_BATCH = 1_000_000_000  # jobs
CANCEL = "cancel"
NOT_UTF8 = "\N{REPLACEMENT CHARACTER}"  # by which the Redis client replaces bytes that are no UTF-8

Id = Annotated[StrictStr, Field(min_length=1, max_length=MAX_ID)]


class BatchFields(BaseModel):
    """The batch that an entry names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    total: Annotated[StrictInt, Field(ge=1, le=MAX_BATCH)]


class EntryFields(BaseModel):
    """What an entry holds besides the arguments of a submission."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    id: Id | None = None
    kind: Kind
    batch: BatchFields | None = None
    traceparent: StrictStr | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEntry:
    """An entry that asks for a job."""

    id: str
    #: `image` where the entry's kind is invalid.
    kind: Kind
    #: The arguments of the submission, not checked yet.
    arguments: JsonObject
    batch: Batch | None = None
    #: The span in which the producer appended the entry, in W3C's form; not checked yet.
    traceparent: str | None = None
    #: Why the entry cannot be used; '' if it can.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CancelEntry:
    """An entry that asks to cancel a job."""

    job_id: str


def parse_entry(entry_id: str, fields: Mapping[str, str]) -> JobEntry | CancelEntry:
    """Read an entry.

    Args:
        entry_id: the id that Redis gave the entry; it names the job if the producer did not.
        fields: of the entry.

    Raises:
        SubmissionError: the entry names no job that could end as `invalid_request`.
    """
    body = _body(fields)
    if body.get("kind") == CANCEL:
        return CancelEntry(_cancel_id(body))
    job_id = body.get("id", f"inbox-{entry_id}")
    check_id("id", job_id)
    known = {name: body[name] for name in EntryFields.model_fields if name in body}
    arguments = {name: value for name, value in body.items() if name not in known}
    try:
        entry = EntryFields.model_validate(known)
    except ValidationError as error:
        kind = _kind(body.get("kind"))
        return JobEntry(id=job_id, kind=kind, arguments=arguments, batch=_batch(body), problem=_problem(error))
    return JobEntry(id=job_id, kind=entry.kind, arguments=arguments, batch=_batch(body), traceparent=entry.traceparent)


def appended_at(entry_id: str) -> float:
    """Return when Redis appended an entry, epoch seconds."""
    return int(entry_id.partition("-")[0]) / 1000


def check_id(field: str, value: object) -> None:
    """Check an id that a producer chose.

    Raises:
        SubmissionError: it is no text, empty or too long; names `field`.
    """
    text = text_id(value) if isinstance(value, str) else None
    if text is None or len(text) > MAX_ID:
        raise SubmissionError(field=field, problem=f"must be a text of 1 to {MAX_ID} characters")


def _body(fields: Mapping[str, str]) -> JsonObject:
    """Return the object in an entry without its nulls, which mean the same as nothing."""
    text = fields.get(FIELD)
    if text is None or len(fields) > 1:
        raise SubmissionError(field=FIELD, problem="must be the one field of an entry: XADD … '*' job '{…}'")
    if len(text) > MAX_ENTRY:
        raise SubmissionError(field=FIELD, problem=f"has {len(text)} characters, {MAX_ENTRY} are allowed")
    if NOT_UTF8 in text:
        raise SubmissionError(field=FIELD, problem="is not in UTF-8")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise SubmissionError(field=FIELD, problem="is not JSON") from None
    if not isinstance(body, dict):
        raise SubmissionError(field=FIELD, problem="must be a JSON object")
    return {name: value for name, value in body.items() if value is not None}


def _cancel_id(body: JsonObject) -> str:
    for name in body.keys() - {"v", "kind", "job_id"}:
        raise SubmissionError(
            field=name[:MAX_ID], problem="does not belong into an entry that cancels; it has job_id only"
        )
    check_id("job_id", body.get("job_id"))
    return str(body["job_id"])


def _kind(value: Any) -> Kind:
    """Return the kind of an entry that is refused: an outcome has one."""
    return Kind(value) if value in tuple(Kind) else Kind.IMAGE


def _batch(body: JsonObject) -> Batch | None:
    """Return the batch of an entry, or None if there is none or it is invalid."""
    try:
        found = BatchFields.model_validate(body.get("batch"))
    except ValidationError:
        return None
    return Batch(found.id, found.total)


def _problem(error: ValidationError) -> str:
    field, problem = first_problem(error)
    return f"{field}: {problem}"
