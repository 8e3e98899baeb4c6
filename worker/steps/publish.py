"""Ends a job: the outcome goes to Redis, to Celery's result backend and to webhooks."""

from __future__ import annotations

from worker.domain.decision import FilesEnd, Finish
from worker.domain.files import StoredFile
from worker.domain.job import Job, JobState
from worker.domain.outcome import JobResult, Outcome, as_error, outcome
from worker.domain.reason import Reason
from worker.queue.continuation import default_continuation, read_continuation
from worker.services import Services
from worker.telemetry.logs import event


def finish_job(services: Services, job: Job, finish: Finish, *, result_by_message: bool = False) -> bool:
    """End a job once, and publish its outcome; False if it ended or moved on since `job` was read.

    One script writes the record, the events, the webhooks and, for a job without a canvas, Celery's result. With a
    canvas a message under the producer's task id lets Celery store the result and go on.

    Args:
        services: the process' clients.
        job: as it was claimed.
        finish: how it ends.
        result_by_message: send the message in any case; Celery then decides what the result is.
    """
    jobs, publisher, result = services.store.jobs, services.publisher, finish.result
    final = outcome(job, result, at=services.store.clock())
    final["polls"] += finish.polled
    direct = job.result_meta is not None and not result_by_message
    finished = jobs.finish(
        job,
        final,
        publisher.result(job, final) if direct else None,
        polled=finish.polled,
        outcome_known=finish.outcome_known,
        duration_s=finish.duration_s,
        store_files=services.settings.outputs_when == "after" and _has_files_to_store(services, result),
    )
    if finished is None:
        return False
    message = result.error or "the job succeeded"
    event("job.ended", message, job=job.id, kind=job.kind, state=result.state, reason=result.reason)
    if direct:
        publisher.ended(job, final)
    else:
        send_continuation(services, job, finished.continuation or "")
    return True


def stores_first(services: Services, finish: Finish) -> bool:
    """Whether the files of a job have to be stored before it ends."""
    return services.settings.outputs_when == "before" and _has_files_to_store(services, finish.result)


def _has_files_to_store(services: Services, result: JobResult) -> bool:
    known = result.files or result.files_error
    return bool(services.settings.outputs and (result.images or result.videos) and not known)


def begin_storing(services: Services, job: Job, finish: Finish) -> None:
    """Let a job whose generation succeeded wait for its files before its end is announced."""
    fields = {"reason": Reason.STORING.value, "error": "the generation succeeded; its files are being stored"}
    begun = services.store.files.begin_storing(
        job, finish.result, polled=finish.polled, duration_s=finish.duration_s, fields=fields
    )
    if begun:
        event("job.storing", "the generation succeeded, and its files are being stored", job=job.id, kind=job.kind)


def end_files(services: Services, job: Job, end: FilesEnd) -> None:
    """Publish the files of a job that has ended, or end a job that waited for them."""
    known = services.store.files.read(job.id)
    if known is None:
        return
    files = end.files or tuple(known.progress.files)
    if known.outcome["state"] == JobState.SUCCEEDED:
        final: Outcome = known.outcome
        final["files"], final["files_error"] = list(files), end.error
        written = services.store.files.mark_stored(job, final)
    else:
        written = finish_job(services, job, Finish(_result_with_files(known.outcome, files, end.error)))
    if written and end.error:
        event("files.given_up", f"not every file is stored: {end.error}", warn=True, job=job.id)
    elif written:
        event("files.stored", "every file of the job is stored", job=job.id, files=len(files))


def _result_with_files(known: Outcome, files: tuple[StoredFile, ...], error: str | None) -> JobResult:
    return JobResult(
        state=JobState.SUCCEEDED,
        images=tuple(known["images"]),
        videos=tuple(known["videos"]),
        files=files,
        files_error=error,
        model_id=known["model_id"],
        generation_id=known["generation_id"],
    )


def resend_result(services: Services, job: Job, at: float) -> None:
    """Send the continuation of an ended job again, since its Celery result is not stored yet.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, which every step gets.
    """
    del at
    event("result.resent", "the Celery result is not stored yet: its message is sent again", job=job.id)
    send_continuation(services, job, services.store.jobs.continuation(job.id) or "")


def send_continuation(services: Services, job: Job, continuation: str) -> None:
    """Send the message with which Celery stores the result and runs the canvas. A lost message is sent again."""
    if continuation:
        services.publisher.resend_task(read_continuation(continuation))
    elif job.result_meta is not None:
        services.publisher.resend_task(default_continuation(job))
    else:
        event("job.no_continuation", "the record holds no message to store the Celery result", job=job.id, warn=True)


def return_outcome(final: Outcome) -> Outcome:
    """Return the outcome of a job that succeeded, for Celery to store.

    Raises:
        JobError: the job did not succeed; the message starts with the reason.
    """
    error = as_error(final)
    if error is None:
        return final
    raise error
