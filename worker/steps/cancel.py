"""Cancels a job. PhotoGPT has no cancel, so the answer says whether the generation goes on and is charged."""

from __future__ import annotations

from worker.domain.decision import Finish
from worker.domain.errors import SubmissionError
from worker.domain.json_values import text_id
from worker.domain.outcome import Outcome, canceled
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
        finish_job(services, job, Finish(canceled(job)), result_by_message=revoked)
