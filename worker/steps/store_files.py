"""Stores the images and videos of a job. They were paid for, so no failure here ever fails the job.

The step writes the progress of each file: what is stored is not downloaded again after a crash.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from redis import RedisError

from config.settings import Settings
from worker.domain.backoff import KEY_CHECK_S, MAX_RETRY_AFTER_S, exponential, obeying
from worker.domain.decision import FilesEnd, Reschedule
from worker.domain.errors import ApiError, FileError, StorageError, Unauthorized
from worker.domain.files import Output, outputs_of
from worker.domain.job import Job, JobState
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.outputs.interruption import Stopped
from worker.outputs.outage import retry_after_s, storage_outage
from worker.services import Services
from worker.steps.publish_files import STORING
from worker.steps.store_output import MAX_POLL_S, NotReady, Transfer, store_output
from worker.store.files import JobFiles
from worker.telemetry.logs import event

MIN_RETRY_S, MAX_RETRY_S = 1.0, 60.0
FIRST_JOB_POLL_S = 2.0  # while a duplicate waits for the files of the first job with its idempotency key
ROLLOUT_S, ROLLOUT_RETRY_S = 120.0, 2.0  # for which a worker without a storage leaves a job to the others
CONCURRENCY = 8
"""Files that one process downloads at once: more would take CPU and memory from the other lanes."""


@dataclass
class Attempt:
    """What an attempt at the outputs of a job has shown so far."""

    #: Seconds until the poll of a video that PhotoGPT prepares.
    poll_after: float | None = None
    #: Messages of what failed.
    errors: list[str] = field(default_factory=list)
    #: Seconds to wait that PhotoGPT asked for.
    retry_after: float = 0
    #: Everything that failed would fail again.
    final: bool = True
    #: Why the storage takes no file at all.
    no_storage: str | None = None
    #: By the monotonic clock.
    began_at: float = field(default_factory=time.monotonic)


def max_step_s(settings: Settings) -> float:
    """Return how long a lease lasts; it is extended while files are transferred."""
    return min(60.0, 2 * settings.outputs_stall_s)


def store_files(services: Services, job: Job, at: float) -> Reschedule | FilesEnd | None:
    """Store what is not stored yet; None if the job has no outputs to store.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    known = services.store.files.read(job.id)
    if known is None or JobState(known.outcome["state"]) not in {job.state, JobState.SUCCEEDED}:
        return None
    if services.storage is None:
        return _without_storage(known, at)
    if (decision := _as_first_job(services, job)) is not None:
        return decision
    if storage_outage.active and at > known.progress.since + services.settings.outputs_deadline_s:
        return _given_up(job, known.progress.error or STORING)  # without an attempt: a frozen storage takes a minute
    attempt, transfer = Attempt(), Transfer(services, services.storage, job, known, at)
    try:
        with _kept_lease(services, job):
            for output in outputs_of(known.outcome):
                if output.number not in known.progress.stored and not attempt.no_storage:
                    _try(attempt, transfer, output)
    except Stopped:
        return Reschedule(after=0, reason=job.reason, error=job.error)
    return _decide(services, job, known, attempt, at)


def _wait_for_storage(services: Services, job: Job, attempt: Attempt, left_s: float) -> Reschedule:
    """Reschedule a job for which the storage takes no file; the others wait too once that fails a second time."""
    error, fails_again = attempt.no_storage or "", storage_outage.active
    storage_outage.report(error, began_at=attempt.began_at)
    services.store.files.record_no_storage(job.id, error)
    after = min(retry_after_s(random_fraction=services.random.random()), left_s)
    return Reschedule(after=after, reason=Reason.STORING, error=error, pause_lane=fails_again)


def _without_storage(known: JobFiles, at: float) -> Reschedule | FilesEnd:
    """Leave a job to a worker that has a storage: while a setting is rolled out, some have none."""
    if at < known.progress.since + ROLLOUT_S:
        return Reschedule(after=ROLLOUT_RETRY_S, reason=Reason.STORING, error=STORING)
    return FilesEnd(error="PHOTOGPT_OUTPUTS is not set on the workers")


def _try(attempt: Attempt, transfer: Transfer, output: Output) -> None:
    """Store one output. A failure is recorded in the attempt, so that the next output is tried too."""
    try:
        store_output(transfer, output)
    except NotReady:
        interval_s = transfer.services.settings.job_poll_interval_s
        attempt.poll_after, attempt.final = min(MAX_POLL_S, interval_s), False
    except StorageError as error:
        attempt.errors.append(f"{output.name}: {error}")
        attempt.final = False
        attempt.no_storage = None if error.of_one_file else str(error)
    except (FileError, ApiError) as error:
        attempt.errors.append(f"{output.name}: {error}")
        limit = error.max_attempts if isinstance(error, FileError) else None
        attempt.final &= limit is not None and transfer.known.progress.attempts + 1 >= limit
        if isinstance(error, ApiError):
            asked = KEY_CHECK_S if isinstance(error, Unauthorized) else error.retry_after or 0
            attempt.retry_after = max(attempt.retry_after, asked)


def _decide(services: Services, job: Job, known: JobFiles, attempt: Attempt, at: float) -> Reschedule | FilesEnd:
    """Return what follows an attempt: the end, or another attempt after a while."""
    left_s = known.progress.since + services.settings.outputs_deadline_s - at
    error = "; ".join(attempt.errors)
    after = attempt.poll_after
    if attempt.no_storage and left_s > 0:
        return _wait_for_storage(services, job, attempt, left_s)
    if error:
        failures = services.store.files.record_failure(job.id, error)
        retry_s = exponential(failures, base=MIN_RETRY_S, cap=MAX_RETRY_S, random_fraction=services.random.random())
        after = obeying(attempt.retry_after, retry_s, cap=MAX_RETRY_AFTER_S)
        message = f"{error}; {'given up' if left_s <= 0 or attempt.final else f'retry in {after:.0f} s'}"
        event("file.attempt_failed", message, warn=True, job=job.id, attempt=failures, retry_in_s=round(after))
    if after is None:
        return FilesEnd()
    if left_s <= 0 or (error and attempt.final):
        return _given_up(job, error or "PhotoGPT has not prepared the file of a video in time")
    return Reschedule(after=min(after, max(0.0, left_s)), reason=Reason.STORING, error=error or STORING)


def _given_up(job: Job, why: str) -> FilesEnd:
    return FilesEnd(error=f"{why}. To try again: photogpt-worker replay --files {job.id}")


def _as_first_job(services: Services, job: Job) -> Reschedule | FilesEnd | None:
    """Let a duplicate have the files of the first job with its idempotency key; None if it has to store its own."""
    first = services.store.jobs.outcome(job.duplicate_of) if job.duplicate_of else None
    if first is None or first["state"] != JobState.SUCCEEDED or first["files_error"]:
        return None
    if first["files"]:
        return FilesEnd(tuple(first["files"]))
    waits = services.store.lanes.due(Lane.FILES, first["id"]) is not None
    return Reschedule(after=FIRST_JOB_POLL_S, reason=Reason.STORING, error=STORING) if waits else None


@contextlib.contextmanager
def _kept_lease(services: Services, job: Job) -> Iterator[None]:
    """Extend the lease of a job inside the block: a large file takes longer than one lease."""
    lease_s, done = max_step_s(services.settings), threading.Event()

    def extend() -> None:
        while not done.wait(lease_s / 3):
            with contextlib.suppress(RedisError):  # in an outage the lease may end: the file is then stored twice
                services.store.lanes.extend_lease(Lane.FILES, job.id, lease_s)

    thread = threading.Thread(target=extend, name="files-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
