"""Ending -> ledger -> Celery result. Ledger first, message last."""

from __future__ import annotations

import json
from dataclasses import replace

from worker.domain.job import Job
from worker.domain.outcome import JobResult, Outcome, as_error, outcome
from worker.queue.continuation import default_continuation
from worker.services import Services
from worker.telemetry.logs import event


def complete(  # noqa: PLR0913 - one sentence
    services: Services,
    job: Job,
    ending: JobResult,
    *,
    polled: bool = False,
    outcome_known: bool = False,
    duration_s: float | None = None,
    by_message: bool = False,
) -> bool:
    """End a job and let Celery know; False if it has ended, or moved on, since `job` was read.

    Where no canvas hangs on it, its Celery result is written by the script that ends it; else, or if the caller wants
    Celery itself to decide what the result is, a message under the producer's own task id is sent.
    """
    final = outcome(replace(job, polls=job.polls + int(polled)), ending, at=services.store.clock())
    update = None if job.result is None or by_message else services.publisher.result(job, final)
    finished = services.store.jobs.finish(
        job, final, update, polled=polled, outcome_known=outcome_known, duration_s=duration_s
    )
    if finished is None:
        return False
    event("job.ended", ending.error or "done", job=job.id, kind=job.kind, state=ending.state, reason=ending.reason)
    if finished.continuation is None:
        services.publisher.ended(job, final)
    else:
        resend_task(services, job, finished.continuation)
    return True


def resend_task(services: Services, job: Job, continuation: str) -> None:
    """Send the message that lets Celery store the result and run the canvas.

    It may get lost: the results lane sends it again until the result is known to be stored.
    """
    if continuation:
        services.publisher.resend_task(json.loads(continuation))
    elif job.result is not None:
        services.publisher.resend_task(default_continuation(job))
    else:
        event("job.no_continuation", "its record holds no continuation", job=job.id, warn=True)


def deliver_result(final: Outcome) -> Outcome:
    """Return the outcome of a job that succeeded; Celery stores it.

    Raises:
        JobError: it did not succeed; the message starts with the reason.
    """
    error = as_error(final)
    if error is None:
        return final
    raise error
