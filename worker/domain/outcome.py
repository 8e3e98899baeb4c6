"""How an outcome reaches a producer as the result of its Celery task: itself, or as an exception."""

from __future__ import annotations

from worker.domain.errors import JobCanceled, JobError, JobExpired, JobFailed
from worker.domain.job import JobState, JsonObject

ERRORS: dict[JobState, type[JobError]] = {
    JobState.FAILED: JobFailed,
    JobState.EXPIRED: JobExpired,
    JobState.CANCELED: JobCanceled,
}


def as_error(outcome: JsonObject) -> JobError | None:
    """Return the exception that tells of a job that did not succeed; its message starts with the reason."""
    kind = ERRORS.get(JobState(outcome["state"]))
    return kind(f"{outcome['reason']}: {outcome['error']}") if kind else None
