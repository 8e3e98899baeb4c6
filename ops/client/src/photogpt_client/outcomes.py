"""Outcomes and events of jobs, as Redis holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

from photogpt_client.errors import JobCanceled, JobExpired, JobFailed, JobNotSucceeded

Kind = Literal["image", "upscale", "video", "training"]
State = Literal["queued", "submitted", "running", "succeeded", "failed", "expired", "canceled"]

FINAL_STATES = frozenset({"succeeded", "failed", "expired", "canceled"})
COUNTS = ("succeeded", "failed", "expired", "canceled", "rejected")
"""How the items of a batch can end."""
ERRORS: dict[str, type[JobNotSucceeded]] = {"failed": JobFailed, "expired": JobExpired, "canceled": JobCanceled}
TEXTS = ("reason", "error", "generation_id", "model_id", "files_error", "submitted_at", "finished_at")
LISTS = ("images", "videos", "files")
FIELDS = ("id", "kind", "state", "created_at", "retryable", "metadata", "polls", *TEXTS, *LISTS)
"""The fields of a record that make the outcome."""


class StoredFile(TypedDict):
    """A file that the service stored in a bucket or folder."""

    #: Below the bucket's prefix, or relative to the folder.
    key: str
    bytes: int
    #: In hexadecimal.
    sha256: str
    content_type: str
    #: Where it was downloaded from.
    source_url: str


class Outcome(TypedDict):
    """How far a job is, or how it ended. Times are RFC 3339 text in UTC. A newer service may add fields."""

    id: str
    kind: Kind
    state: State
    reason: str | None
    error: str | None
    #: True if the same request, sent again, can succeed and cannot be paid twice; None without a reason.
    retryable: bool | None
    generation_id: str | None
    model_id: str | None
    #: PhotoGPT's own records, unchanged.
    images: list[dict[str, Any]]
    videos: list[dict[str, Any]]
    files: list[StoredFile]
    files_error: str | None
    metadata: dict[str, Any] | None
    created_at: str
    submitted_at: str | None
    finished_at: str | None
    polls: int


class BatchOutcome(TypedDict):
    """How the items of a batch ended: the five counts make the total."""

    id: str
    total: int
    succeeded: int
    failed: int
    expired: int
    canceled: int
    #: Entries of other producers that could not be used and became no job.
    rejected: int
    created_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job's stream."""

    #: In the stream; `events(after=event.id)` goes on behind it.
    id: str
    #: `job.queued`, `job.submitted`, `job.running`, `job.succeeded` …; `model.…` for a training.
    type: str
    sequence: int
    #: RFC 3339 text in UTC.
    timestamp: str
    #: Of the last event only.
    outcome: Outcome | None


def read_event(event_id: str, fields: Mapping[str, str]) -> Event:
    """Return the event in an entry of a job's stream."""
    data = fields.get("data")
    return Event(
        id=event_id,
        type=fields.get("type", ""),
        sequence=int(fields.get("sequence", 0)),
        timestamp=fields.get("timestamp", ""),
        outcome=None if data is None else cast("Outcome", json.loads(data)),
    )


def read_outcome(record: Mapping[str, str]) -> Outcome:
    """Return the outcome in a record. What is absent there is null, `[]` or 0."""
    found: dict[str, Any] = {name: record[name] for name in ("id", "kind", "state", "created_at")}
    found |= {name: record.get(name) for name in TEXTS}
    found |= {name: json.loads(record.get(name, "[]")) for name in LISTS}
    found["retryable"] = {"true": True, "false": False}.get(record.get("retryable", ""))
    found["metadata"] = json.loads(record["metadata"]) if "metadata" in record else None
    found["polls"] = int(record.get("polls", 0))
    return cast("Outcome", found)


def read_batch(record: Mapping[str, str]) -> BatchOutcome:
    """Return the counts in the record of a batch."""
    counts = {name: int(record.get(name, 0)) for name in ("total", *COUNTS)}
    texts = {"id": record["id"], "created_at": record["created_at"], "finished_at": record.get("finished_at")}
    return cast("BatchOutcome", {**texts, **counts})


def checked(outcome: Outcome) -> Outcome:
    """Return the outcome of a job that succeeded.

    Raises:
        JobNotSucceeded: the job ended in another state.
    """
    error = ERRORS.get(outcome["state"])
    if error is not None:
        raise error(outcome)
    return outcome
