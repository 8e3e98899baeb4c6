"""Enqueues jobs for commands: one entry in the inbox, which any worker takes over."""

from __future__ import annotations

import time
from collections.abc import Iterable

from config.settings import Settings
from worker.domain.errors import SubmissionError
from worker.domain.inbox_entry import check_id
from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.new_job import new_job
from worker.domain.reason import Reason
from worker.domain.submission import SubmissionLimits, parse_submission
from worker.steps.accept import job_defaults
from worker.store.codec import dumps
from worker.store.store import Store

ACCEPT_WAIT_S = 2.0
"""A worker takes milliseconds to accept an entry; after this time none runs, or all are busy."""

CHECK_S = 0.02


def enqueue(  # noqa: PLR0913 - what an entry holds
    store: Store,
    settings: Settings,
    kind: Kind,
    job_id: str,
    arguments: JsonObject,
    *,
    traceparent: str | None = None,
) -> str:
    """Append a job to the inbox and return the id of the entry.

    Args:
        store: an open one.
        settings: of the command.
        kind: of the job.
        job_id: the same id twice is one job.
        arguments: as a task takes them.
        traceparent: see `Job.traceparent`.

    Raises:
        SubmissionError: an argument is invalid; nothing was appended.
        Unacknowledged: Redis did not answer, so the entry may be appended or not.
    """
    check_id("job_id", job_id)
    limits = SubmissionLimits(metadata_max_bytes=settings.metadata_max_bytes)  # workers check the webhook's URL
    submission = parse_submission(kind, [], arguments, limits)
    new_job(job_id, kind, submission, defaults=job_defaults(settings), at=store.clock())  # checks the start time
    digest = store.job_history.record(job_id).get("digest", submission.digest)
    if digest != submission.digest:
        raise SubmissionError(field="job_id", problem=f"job {job_id} exists, with another request")
    given = submission.model_dump(exclude_none=True)
    trace = {"traceparent": traceparent} if traceparent else {}
    return store.inbox.append(dumps({"v": 1, "id": job_id, "kind": kind.value, **given, **trace}))


def wait_accepted(store: Store, entries: Iterable[str]) -> int:
    """Wait a moment until workers have taken entries over; return how many no worker has accepted yet."""
    left, ends = list(entries), time.monotonic() + ACCEPT_WAIT_S
    while left:
        if not store.inbox.holds(left[-1]):
            left.pop()
        elif time.monotonic() > ends:
            break
        else:
            time.sleep(CHECK_S)
    return len(left)


def check_accepted(store: Store, job_id: str) -> None:
    """Refuse a job that a worker has refused.

    Raises:
        SubmissionError: PhotoGPT is not asked for this job.
    """
    record = store.job_history.record(job_id)
    refused = record.get("reason") in {Reason.INVALID_REQUEST, Reason.IDEMPOTENCY_CONFLICT}
    if record.get("state") == JobState.FAILED and refused and "attempts" not in record:
        raise SubmissionError(field="", problem=record["error"])
