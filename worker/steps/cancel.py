"""Cancels a job. PhotoGPT has no cancel, so the answer says whether the generation goes on and is charged."""

from __future__ import annotations

from worker.domain.decision import Finish
from worker.domain.errors import SubmissionError
from worker.domain.job import Job, JobState
from worker.domain.json_values import text_id
from worker.domain.outcome import JobResult, Outcome
from worker.domain.reason import Reason
from worker.domain.text import truncate
from worker.services import Services
from worker.steps.publish import finish_job

MAX_SHOWN = 300  # characters of an id that is not known


def cancel(services: Services, job_id: object, *, revoked: bool = False) -> Outcome:
    """End a job as `canceled`, unless it has ended, and return its outcome.

    Args:
        services: the process' clients.
        job_id: of the job, as text or as a UUID; or the outcome of the job.
        revoked: Celery's `revoke` was called; Celery then stores the result `REVOKED`.

    Raises:
        SubmissionError: there is no such job.
    """
    named = job_id.get("id") if isinstance(job_id, dict) else job_id
    name = text_id(named)
    while True:  # a job that moves on is read again: the answer has to fit the state that was canceled
        job = services.store.jobs.get(name) if name else None
        final = services.store.jobs.outcome(job.id) if job is not None else None
        if job is None or final is None:
            problem = f"there is no job {truncate(repr(named), MAX_SHOWN)}; records are kept for a limited time"
            raise SubmissionError(field="job_id", problem=problem)
        if job.state.terminal:
            return final
        result = JobResult(state=JobState.CANCELED, reason=Reason.CANCELED, error=_consequence(job))
        finish_job(services, job, Finish(result), result_by_message=revoked)


def _consequence(job: Job) -> str:
    canceled = f"job {job.id} was canceled"
    if job.generation_id or job.submitted_at:
        return f"{canceled}: polling stops, but PhotoGPT has no cancel, so the generation goes on and is charged"
    if job.intent_at is not None:
        return f"{canceled} while PhotoGPT was asked to start it: it may go on there and be charged"
    return f"{canceled} before PhotoGPT was asked: nothing is charged"
