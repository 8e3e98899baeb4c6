"""Lets a job wait for its files before it ends, and publishes the files of a job."""

from __future__ import annotations

from worker.domain.decision import FilesEnd, Finish
from worker.domain.files import StoredFile
from worker.domain.job import Job, JobState
from worker.domain.outcome import JobResult, Outcome
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.publish import finish_job, has_files_to_store
from worker.telemetry.logs import event

STORING = "the generation succeeded; its files are being stored"


def stores_first(services: Services, finish: Finish) -> bool:
    """Whether the files of a job have to be stored before it ends."""
    return services.settings.outputs_when == "before" and has_files_to_store(services, finish.result)


def begin_storing(services: Services, job: Job, finish: Finish) -> None:
    """Let a job whose generation succeeded wait for its files before its end is announced."""
    fields = {"reason": Reason.STORING.value, "error": STORING}
    begun = services.store.files.begin_storing(
        job, finish.result, polled=finish.polled, duration_s=finish.duration_s, fields=fields
    )
    if begun:
        event("job.storing", STORING, job=job.id, kind=job.kind)


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
