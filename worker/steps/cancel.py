"""Stop looking. PhotoGPT has no cancel, and the answer says what that means for the money."""

from __future__ import annotations

from worker.domain.errors import SubmissionError
from worker.domain.job import Job, JobState
from worker.domain.outcome import JobResult, Outcome, outcome
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.publish import complete


def cancel(services: Services, job_id: object, *, revoked: bool = False) -> Outcome:
    """End a job as `canceled`, unless it has ended, and return its outcome.

    Args:
        services: the process' clients.
        job_id: of the job, or the outcome of one.
        revoked: its task was revoked: what its result is, Celery says when a message of it comes.

    Raises:
        SubmissionError: there is no such job.
    """
    name = job_id.get("id") if isinstance(job_id, dict) else job_id
    while True:  # a job that moves on meanwhile is read again: the answer must be true of what was canceled
        job = services.store.jobs.get(name) if isinstance(name, str) and name else None
        if job is None:
            problem = f"there is no job {name!r}; records are kept for a while only"
            raise SubmissionError(field="job_id", problem=problem)
        ending = JobResult(state=JobState.CANCELED, reason=Reason.CANCELED, error=_what_it_means(job))
        if job.state.terminal or complete(services, job, ending, by_message=revoked):
            return services.store.jobs.outcome(job.id) or outcome(job, ending)


def _what_it_means(job: Job) -> str:
    said = f"job {job.id} was canceled"
    if job.generation_id or job.submitted_at:
        return f"{said}: nobody looks at it any more, but PhotoGPT has no cancel, so it goes on there and is charged"
    if job.intent_at is not None:
        return f"{said} while PhotoGPT was being asked to start it: it may go on there and be charged"
    return f"{said} before PhotoGPT was asked: nothing is charged"
