"""Ending -> ledger -> Celery result. Ledger first, message last."""

from __future__ import annotations

import json

from worker.domain.errors import JobCanceled, JobError, JobExpired, JobFailed
from worker.domain.job import Ending, Job, JobState, type_json
from worker.services import Services
from worker.telemetry.logs import event

ERRORS: dict[JobState, type[JobError]] = {
    JobState.FAILED: JobFailed,
    JobState.EXPIRED: JobExpired,
    JobState.CANCELED: JobCanceled,
}


def complete(services: Services, job: Job, ending: Ending, *, looked: bool = False, settled: bool = False) -> bool:
    """End a job and let Celery know; False if it has ended, or moved on, since `job` was read."""
    finished = services.store.jobs.finish(job, ending, looked=looked, settled=settled)
    if finished is None:
        return False
    event("job.ended", ending.error or "done", job=job.id, kind=job.kind, state=ending.state, reason=ending.reason)
    services.send(finished.wakes)
    resume(services, job.id, finished.continuation)
    return True


def resume(services: Services, job_id: str, continuation: str) -> None:
    """Send the message under the producer's own task id that lets Celery store the result and run the canvas.

    It may get lost: the results lane sends it again until the result is known to be stored.
    """
    if not continuation:
        event("job.unresumable", "its record holds no continuation", job=job_id, warn=True)
        return
    services.messages.resume(json.loads(continuation))


def deliver_result(outcome: type_json) -> type_json:
    """Return the outcome of a job that succeeded; Celery stores it.

    Raises:
        JobError: it did not succeed; the message starts with the reason.
    """
    state = JobState(outcome["state"])
    if state is JobState.SUCCEEDED:
        return outcome
    raise ERRORS[state](f"{outcome['reason']}: {outcome['error']}")
