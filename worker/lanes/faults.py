"""What happens to a job whose step raised an error of ours."""

from __future__ import annotations

from worker.domain.decision import FilesEnd, Finish, Reschedule
from worker.domain.job import Job, JobState
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.publish import finish_job
from worker.steps.publish_files import end_files
from worker.store import codec

FAULT_RETRY_S = 1.0  # before the first retry; the second waits twice as long, and so on
MAX_FAULTS = 5  # then the job ends as `internal_error`, so that it does not occupy its lane


def count_fault(
    services: Services, lane: Lane, values: list[str | None], error: Exception
) -> tuple[Job, Reschedule] | None:
    """Count an error against its job: reschedule the job, or end it after `MAX_FAULTS` errors.

    Args:
        services: the process' clients.
        lane: of the step.
        values: of the job's record, in the order of `codec.FIELDS`; may be unreadable.
        error: what the step raised.
    """
    try:
        job = codec.decode(values)
    except (ValueError, KeyError):
        job = codec.salvage(values, at=services.store.clock())
    faults = services.store.jobs.count(job.id, "faults")
    message = f"a step of job {job.id} raised {type(error).__name__}; the traceback is in the worker's log"
    if faults < MAX_FAULTS:
        return job, Reschedule(after=FAULT_RETRY_S * faults, reason=Reason.INTERNAL_ERROR, error=message)
    if lane is Lane.FILES:
        end_files(services, job, FilesEnd(error=f"{message} ({faults} times)"))
        return None
    message = f"{message} ({faults} times). To enqueue it again: photogpt-worker replay {job.id}"
    finish_job(services, job, Finish(JobResult(state=JobState.FAILED, reason=Reason.INTERNAL_ERROR, error=message)))
    return None
