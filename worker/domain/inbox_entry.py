"""Entries of the inbox, by `ops/docs/inbox.md`. The arguments of the job in one are checked later, by accept."""

from __future__ import annotations

import json
import re
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
MAX_READ = 4_000_000  # characters of a longer entry that are read for the id of its job
MAX_ID = 255
MAX_BATCH = 1_000_000_000  # jobs
BATCH_IN_TEXT = re.compile(r'(?<!\\)"batch"\s*:\s*(\{[^{}]*\})')
"""The batch in an entry that is no JSON: an object without objects. A text inside the JSON has escaped quotes."""

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
    unusable = _unusable(fields)
    if body.get("kind") == CANCEL:
        if unusable:
            raise SubmissionError(field=FIELD, problem=unusable)
        return CancelEntry(_cancel_id(body))
    job_id = body.get("id", f"inbox-{entry_id}")
    check_id("id", job_id)
    if unusable and NOT_UTF8 in job_id:
        raise SubmissionError(field="id", problem="is not in UTF-8")
    known = {name: body[name] for name in EntryFields.model_fields if name in body}
    arguments = {name: value for name, value in body.items() if name not in known}
    try:
        entry = EntryFields.model_validate(known)
        problem, traceparent = unusable and f"{FIELD}: {unusable}", entry.traceparent
    except ValidationError as error:
        problem, traceparent = _problem(error), None
    return JobEntry(
        id=job_id,
        kind=_kind(body.get("kind")),
        arguments=arguments,
        batch=_batch(body),
        traceparent=traceparent,
        problem=problem,
    )


def named_batch(fields: Mapping[str, str]) -> Batch | None:
    """Return the batch that an entry names, also where it is too long or its JSON is broken elsewhere."""
    try:
        return _batch(_body(fields))
    except SubmissionError:
        found = BATCH_IN_TEXT.search(fields.get(FIELD, ""))
        try:
            return _batch({"batch": json.loads(found[1])}) if found else None
        except (ValueError, RecursionError):
            return None


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
    if text is None or len(text) > MAX_READ:
        raise SubmissionError(field=FIELD, problem=_unusable(fields))
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise SubmissionError(field=FIELD, problem="is not JSON") from None
    if not isinstance(body, dict):
        raise SubmissionError(field=FIELD, problem="must be a JSON object")
    return {name: value for name, value in body.items() if value is not None}


def _unusable(fields: Mapping[str, str]) -> str:
    """Return what is wrong with an entry, whatever its JSON says; '' if nothing is."""
    text = fields.get(FIELD)
    if text is None or len(fields) > 1:
        return "must be the one field of an entry: XADD … '*' job '{…}'"
    if len(text) > MAX_ENTRY:
        return f"has {len(text)} characters, {MAX_ENTRY} are allowed"
    return "is not in UTF-8" if NOT_UTF8 in text else ""


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
    """Return the batch of an entry, or None if it names none; where the total cannot be used, it is 0."""
    given = body.get("batch")
    try:
        named = given if isinstance(given, dict) else {}
        check_id("batch.id", named.get("id"))
    except SubmissionError:
        return None
    total = named.get("total")
    return Batch(named["id"], total if type(total) is int and 1 <= total <= MAX_BATCH else 0)


def _problem(error: ValidationError) -> str:
    field, problem = first_problem(error)
    return f"{field}: {problem}"
