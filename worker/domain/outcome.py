"""The outcome of a job: one shape for the Celery result, the record in Redis and the webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from worker.domain.errors import JobCanceled, JobError, JobExpired, JobFailed
from worker.domain.files import StoredFile
from worker.domain.job import Job, JobState, JsonObject
from worker.domain.reason import Reason
from worker.domain.times import rfc3339

ERRORS: dict[JobState, type[JobError]] = {
    JobState.FAILED: JobFailed,
    JobState.EXPIRED: JobExpired,
    JobState.CANCELED: JobCanceled,
}
"""The exception that a producer gets for each state other than `succeeded`."""


class Outcome(TypedDict):
    """How far a job is, or how it ended. Times are RFC 3339 text in UTC."""

    id: str
    kind: str
    state: str
    reason: str | None
    error: str | None
    retryable: bool | None
    generation_id: str | None
    model_id: str | None
    images: list[JsonObject]
    videos: list[JsonObject]
    files: list[StoredFile]
    files_error: str | None
    metadata: JsonObject | None
    created_at: str
    submitted_at: str | None
    finished_at: str | None
    polls: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """How a job ends, as a step decided it, before it is stored."""

    state: JobState
    reason: Reason | None = None
    #: One sentence for people: what happened, to which job, what to do.
    error: str | None = None
    images: tuple[JsonObject, ...] = ()
    videos: tuple[JsonObject, ...] = ()
    files: tuple[StoredFile, ...] = ()
    #: Which outputs could not be stored, and why.
    files_error: str | None = None
    #: The model that PhotoGPT names for the generation.
    model_id: str | None = None
    #: Set where another job triggered the generation.
    generation_id: str | None = None


def outcome(job: Job, result: JobResult | None = None, *, at: float | None = None) -> Outcome:
    """Return the outcome of a job: how far it is, or with `result` how it ended.

    Args:
        job: as it was read.
        result: how the job ends; None while it goes on.
        at: epoch seconds of the end.
    """
    reason = result.reason if result else job.reason
    return {
        "id": job.id,
        "kind": job.kind.value,
        "state": (result.state if result else job.state).value,
        "reason": reason.value if reason else None,
        "error": result.error if result else job.error,
        "retryable": _retryable(job, reason) if reason else None,
        "generation_id": (result.generation_id if result else None) or job.generation_id,
        "model_id": (result.model_id if result else None) or job.model_id,
        "images": list(result.images) if result else [],
        "videos": list(result.videos) if result else [],
        "files": list(result.files) if result else [],
        "files_error": result.files_error if result else None,
        "metadata": job.metadata,
        "created_at": rfc3339(job.created_at),
        "submitted_at": rfc3339(job.submitted_at) if job.submitted_at else None,
        "finished_at": rfc3339(at) if result and at else None,
        "polls": job.polls,
    }


def expired(job: Job) -> JobResult:
    """Return how a job ends whose deadline has passed."""
    if job.generation_id or job.submitted_at:
        started = f"generation {job.generation_id}" if job.generation_id else "training"
        cost = f"its {started} may go on and be charged"
    elif job.intent_at is not None:
        cost = "PhotoGPT was asked and its answer was lost, so a generation may exist and be charged"
    else:
        cost = "PhotoGPT started nothing, so nothing is charged"
    last_status = f"; PhotoGPT's last status was {job.photogpt_status!r}" if job.photogpt_status else ""
    last_error = f"; last error: {job.error}" if job.error else ""
    return JobResult(
        state=JobState.EXPIRED,
        reason=Reason.DEADLINE_EXCEEDED,
        error=f"the deadline of job {job.id} passed; {cost}{last_status}{last_error}",
    )


def canceled(job: Job) -> JobResult:
    """Return how a job ends that is canceled."""
    return JobResult(state=JobState.CANCELED, reason=Reason.CANCELED, error=_consequence(job))


def expired_before_start(job_id: str) -> JobResult:
    """Return how a job ends whose message had an `expires` that passed before the job started."""
    return JobResult(
        state=JobState.EXPIRED,
        reason=Reason.DEADLINE_EXCEEDED,
        error=f"the `expires` of job {job_id} passed before it started; PhotoGPT was not asked, so nothing is charged",
    )


def as_error(outcome: Mapping[str, Any]) -> JobError | None:
    """Return the exception for a job that did not succeed, or None. Its message starts with the reason."""
    error = ERRORS.get(JobState(outcome["state"]))
    return error(f"{outcome['reason']}: {outcome['error']}") if error else None


def _retryable(job: Job, reason: Reason) -> bool:
    if reason is Reason.DEADLINE_EXCEEDED:  # a retry is safe only if PhotoGPT was never asked
        return job.generation_id is None and job.intent_at is None and job.submitted_at is None
    return reason.retryable


def _consequence(job: Job) -> str:
    canceled = f"job {job.id} was canceled"
    if job.generation_id or job.submitted_at:
        return f"{canceled}: polling stops, but PhotoGPT has no cancel, so the generation goes on and is charged"
    if job.intent_at is not None:
        return f"{canceled} while PhotoGPT was asked to start it: it may go on there and be charged"
    return f"{canceled} before PhotoGPT was asked: nothing is charged"
