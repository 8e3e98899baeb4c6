"""Turns an entry of the inbox into a job, or cancels the job that it names. Like accept, it writes to Redis only."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from worker.domain.errors import SubmissionError
from worker.domain.inbox_entry import FIELD, CancelEntry, JobEntry, appended_at, named_batch, parse_entry
from worker.services import Services
from worker.steps.accept import Envelope, accept
from worker.steps.cancel import cancel
from worker.store.inbox import Entry
from worker.telemetry import traces
from worker.telemetry.logs import event
from worker.telemetry.spans import SpanKind
from worker.telemetry.trace_context import in_trace, read_traceparent

CANCEL_WAIT_S = 60.0
"""How long an entry that cancels waits for its job: another worker may have read the entry of the job."""

MAX_AGE_S = 30 * 86_400
"""An entry that seems older was appended with an id of the producer's own, which says nothing about the time."""

MAX_AHEAD_S = 1.0
"""A worker knows Redis' clock to within milliseconds, so an entry may seem to come from the future."""


def take_over(services: Services, entry: Entry) -> bool:
    """Do what an entry asks for. Safe to repeat.

    Returns:
        Whether the entry is done; if not, it has to be taken over again in a moment.

    Raises:
        redis.RedisError: Redis is unavailable, or a record is unusable.
    """
    try:
        match parse_entry(entry.id, entry.fields):
            case JobEntry() as asked:
                _accept(services, entry, asked)
            case CancelEntry(job_id):
                return _cancel(services, entry, job_id)
    except SubmissionError as error:
        reject(services, entry, str(error))
    return True


def reject(services: Services, entry: Entry, problem: str) -> None:
    """Count an entry that cannot be used in the batch that it names, and list it without its content."""
    event(
        "inbox.rejected", "deleted an entry of the inbox that cannot be used", warn=True, entry=entry.id, error=problem
    )
    _count_rejected(services, entry)
    services.store.rejected.add(problem, task=services.store.keys.inbox, message_id=entry.id)


def _count_rejected(services: Services, entry: Entry) -> None:
    batch = named_batch(entry.fields)
    if batch is not None:
        text = entry.fields[FIELD].encode("utf-8", "replace")
        services.store.batches.count_rejected(hashlib.sha256(text).hexdigest()[:32], batch)


def _accept(services: Services, entry: Entry, asked: JobEntry) -> None:
    """Accept the job of an entry, under the span in which its producer appended it."""
    attributes = {"messaging.system": "redis", "messaging.operation.type": "process", "photogpt.job.id": asked.id}
    with (
        in_trace(read_traceparent(asked.traceparent)),
        traces.span("process inbox", SpanKind.CONSUMER, attributes) as span,
    ):
        accept(services, replace(_envelope(services, entry, asked), traceparent=span.traceparent))


def _envelope(services: Services, entry: Entry, asked: JobEntry) -> Envelope:
    at = services.store.clock()
    appended = appended_at(entry.id)
    return Envelope(
        id=asked.id,
        kind=asked.kind,
        args=[],
        kwargs=asked.arguments,
        continuation="",
        result_meta={},
        problem=asked.problem,
        batch=asked.batch,
        appended_at=appended if -MAX_AHEAD_S < at - appended < MAX_AGE_S else at,
    )


def _cancel(services: Services, entry: Entry, job_id: str) -> bool:
    try:
        cancel(services, job_id)
    except SubmissionError:
        if services.store.clock() - appended_at(entry.id) < CANCEL_WAIT_S:
            return False
        raise
    return True
