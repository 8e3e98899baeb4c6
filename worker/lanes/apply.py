"""Writes the decision of a step to Redis.

In a lane, a step reads and decides, and this module writes, with three exceptions for jobs: `steps/trigger.py` records
its intent before it calls PhotoGPT, and starts a job whose start time has come; `steps/reconcile.py` counts lost
answers; `steps/store_files.py` records how far the files of a job are. Deliveries and list polls write their own
results.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from redis import RedisError

from worker.domain.decision import Decision, FilesEnd, Finish, Reschedule, Running, Submitted
from worker.domain.job import Job, JobState
from worker.domain.lane import Lane
from worker.domain.list_poll import FIRST_PART, MIN_IN_FLIGHT
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.poll import next_poll_delay
from worker.steps.publish import finish_job
from worker.steps.publish_files import begin_storing, end_files, stores_first
from worker.store.connection import is_unavailable
from worker.telemetry import recorder
from worker.telemetry.logs import event
from worker.telemetry.metrics import JOB_WAIT
from worker.telemetry.shortage import is_shortage

T = TypeVar("T")

RETRY_WRITE_S = 60.0
"""How long a write is retried that holds the only record of a paid generation."""


def apply(services: Services, job: Job, decision: Decision) -> tuple[Job, Reschedule] | None:
    """Write one decision; return the job if it has to be rescheduled, which the caller does in batches."""
    match decision:
        case Reschedule(accepted_without_id=True, intent=str(intent)):
            written = retry_write(lambda: services.store.jobs.record_acceptance(job, intent))
            return (job, decision) if written else None
        case Reschedule():
            return job, decision
        case Submitted():
            retry_write(lambda: mark_submitted(services, job, decision))
        case Running():
            mark_running(services, job, decision)
        case Finish() if stores_first(services, decision):
            begin_storing(services, job, decision)
        case Finish():
            finish_job(services, job, decision)
        case FilesEnd():
            end_files(services, job, decision)
    return None


def reschedule(services: Services, lane: Lane, batch: list[tuple[Job, Reschedule]]) -> None:
    """Write a batch of reschedules: back into the lane, or into the admission queue where PhotoGPT had no room."""
    requeued = [(job, decision) for job, decision in batch if decision.requeue]
    rescheduled = [(job, decision) for job, decision in batch if not decision.requeue]
    if any(decision.reason is Reason.UNAUTHORIZED for _, decision in batch):
        services.store.server.reject_key(services.settings.api_key)
    services.store.lanes.requeue(requeued)
    services.store.lanes.reschedule(lane, rescheduled)


def mark_submitted(services: Services, job: Job, submitted: Submitted) -> None:
    """Write that PhotoGPT accepted the job, and schedule its first poll."""
    store = services.store
    in_flight = store.jobs.mark_submitted(
        job,
        submitted,
        poll_after=next_poll_delay(services, replace(job, generation_id=submitted.generation_id), store.clock()),
        must_poll_after=store.schedules.of(job).p95_duration_s * (1 + services.random.random()),  # spread
        update=services.publisher.progress(job, JobState.SUBMITTED, submitted.generation_id),
    )
    recorder.observe(JOB_WAIT, store.clock() - job.created_at, job.kind)
    event("job.submitted", "PhotoGPT accepted the job", job=job.id, kind=job.kind, generation=submitted.generation_id)
    _log_if_late(job, submitted.generation_id, written=in_flight > 0)
    if in_flight == MIN_IN_FLIGHT:
        start_list_polling(services)  # sooner than the lane monitor does


def start_list_polling(services: Services) -> None:
    """Schedule the first list poll, unless one is scheduled or too few generations are under way."""
    if services.settings.list_polling:
        delay_s = FIRST_PART * services.settings.job_poll_interval_s
        services.store.list_polls.ensure_scheduled(delay_s=delay_s)


def mark_running(services: Services, job: Job, running: Running) -> None:
    """Write that PhotoGPT works on the job, and schedule its next poll."""
    polled = replace(
        job,
        polls=job.polls + 1,
        last_polled_at=running.at,
        photogpt_status=running.photogpt_status,
        photogpt_status_since=running.at,
    )
    update = services.publisher.progress(job, JobState.RUNNING, job.generation_id)
    written = services.store.jobs.mark_running(polled, poll_after=running.after, update=update)
    _log_if_late(job, job.generation_id, written=written)


def retry_write(write: Callable[[], T]) -> T:
    """Retry for up to 60 s while Redis cannot be reached: this write holds the only record of a paid generation."""
    ends = time.monotonic() + RETRY_WRITE_S
    while True:
        try:
            return write()
        except (RedisError, OSError) as error:
            may_pass = is_shortage(error) or (isinstance(error, RedisError) and is_unavailable(error))
            if not may_pass or time.monotonic() > ends:
                raise
            time.sleep(1)


def _log_if_late(job: Job, generation_id: str | None, *, written: bool) -> None:
    if not written:
        message = "the job had ended or moved on before PhotoGPT's answer was written"
        event("job.update_too_late", message, job=job.id, generation=generation_id)
