"""Ending -> ledger -> Celery result. Ledger first, message last."""

from __future__ import annotations

import json
from functools import partial

from worker.domain.ending import as_error
from worker.domain.job import Ending, Job, type_json
from worker.messages import bare
from worker.services import Services
from worker.telemetry.logs import event


def complete(  # noqa: PLR0913 - one sentence
    services: Services,
    job: Job,
    ending: Ending,
    *,
    looked: bool = False,
    settled: bool = False,
    took_s: float | None = None,
    by_message: bool = False,
) -> bool:
    """End a job and let Celery know; False if it has ended, or moved on, since `job` was read.

    Where no canvas hangs on it, its Celery result is written by the script that ends it; else, or if the caller wants
    Celery itself to decide what the result is, a message under the producer's own task id is sent.
    """
    messages = services.messages
    tell = None if job.result is None or by_message else partial(messages.result, job)
    finished = services.store.jobs.finish(job, ending, looked=looked, settled=settled, took_s=took_s, tell=tell)
    if finished is None:
        return False
    event("job.ended", ending.error or "done", job=job.id, kind=job.kind, state=ending.state, reason=ending.reason)
    services.send(finished.wakes)
    if finished.continuation is None:
        messages.ended(job, finished.outcome)
    else:
        resume(services, job, finished.continuation)
    return True


def resume(services: Services, job: Job, continuation: str) -> None:
    """Send the message that lets Celery store the result and run the canvas.

    It may get lost: the results lane sends it again until the result is known to be stored.
    """
    if continuation:
        services.messages.resume(json.loads(continuation))
    elif job.result is not None:
        services.messages.resume(bare(job))
    else:
        event("job.unresumable", "its record holds no continuation", job=job.id, warn=True)


def deliver_result(outcome: type_json) -> type_json:
    """Return the outcome of a job that succeeded; Celery stores it.

    Raises:
        JobError: it did not succeed; the message starts with the reason.
    """
    error = as_error(outcome)
    if error is None:
        return outcome
    raise error
