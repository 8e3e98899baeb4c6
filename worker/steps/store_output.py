"""Stores one image or video: finds its file at PhotoGPT, downloads it, and puts it under its key.

The file of a video takes two steps at PhotoGPT. The first is recorded before it is asked for, so that a worker that
takes over goes on with the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from worker.domain.errors import ApiError, Conflict, FileError, Refused
from worker.domain.files import Output, StoredFile
from worker.domain.job import Job
from worker.domain.times import epoch
from worker.outputs.interruption import until_stopped
from worker.outputs.keys import file_key
from worker.outputs.measured import measured_transfer
from worker.outputs.outage import storage_outage
from worker.outputs.storage import Storage
from worker.photogpt.answers import DownloadStatus
from worker.services import Services
from worker.store.files import JobFiles
from worker.telemetry.logs import event

UNKNOWN_FOR_S = 5.0  # after create-download, a 404 for the download may come from a server that lags behind
MAX_PREPARATION_S = 900.0  # after which a download is requested once more
MAX_POLL_S = 5.0  # between two polls of a download
PREPARATION_FAILED = frozenset({"failed", "error"})  # not documented, but unmistakable


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is needed to store the outputs of a job."""

    services: Services
    storage: Storage
    job: Job
    known: JobFiles
    #: Redis' time, epoch seconds.
    at: float


class NotReady(Exception):
    """PhotoGPT still prepares the file."""


def store_output(transfer: Transfer, output: Output) -> None:
    """Store one output, and record that.

    Raises:
        FileError, StorageError, ApiError: the attempt failed.
        NotReady: PhotoGPT still prepares the file.
        Stopped: the worker stops.
    """
    if output.is_video and output.id is not None:
        _store_video(transfer, output, output.id)
    else:
        _store_from_record(transfer, output)


def _store_from_record(transfer: Transfer, output: Output) -> None:
    """Store what the URL of the record names; if it has expired, what a fresh one names."""
    url = output.url or _fresh_url(transfer, output)
    if url is None:
        raise FileError("PhotoGPT's record has no URL that can be downloaded")
    try:
        _store(transfer, output, url)
    except FileError as error:
        fresh = _fresh_url(transfer, output) if error.expired else None
        if fresh is None or fresh == url:
            raise
        _store(transfer, output, fresh)


def _fresh_url(transfer: Transfer, output: Output) -> str | None:
    """Read the record of the generation once more, and return the output's URL in it."""
    photogpt = transfer.services.photogpt
    try:
        seen = photogpt.generation(transfer.known.outcome["generation_id"] or "")
        records = seen.videos if output.is_video else seen.images
        outputs = [Output(output.number, output.is_video, record) for record in records]
        position = output.number - 1 - (len(transfer.known.outcome["images"]) if output.is_video else 0)
        same = [each for each in outputs if output.id and each.id == output.id] or outputs[position : position + 1]
        if same and same[0].url:
            return same[0].url
        if not output.id or output.is_video:
            return None
        return Output(output.number, is_video=False, record={"url": photogpt.image_url(output.id)}).url
    except ApiError as error:
        raise FileError(f"PhotoGPT gives no fresh URL: {error}") from error


def _store_video(transfer: Transfer, output: Output, video_id: str) -> None:
    """Store the file of a video: request its download, wait until it is prepared, download it."""
    if output.number not in transfer.known.progress.requested and not _request_download(transfer, output, video_id):
        _store_from_record(transfer, output)  # a playlist is refused by its first bytes
        return
    url = _prepared_url(transfer, output, video_id)
    try:
        try:
            _store(transfer, output, url)
        except FileError as error:
            fresh = _prepared_url(transfer, output, video_id) if error.expired else url
            if fresh == url:
                raise
            _store(transfer, output, fresh)
    except FileError as error:
        if error.expired:
            _request_again(transfer, output)
        raise


def _request_download(transfer: Transfer, output: Output, video_id: str) -> bool:
    """Ask PhotoGPT to prepare the file; False if it refuses. Without an answer, the poll shows what happened."""
    files, number = transfer.services.store.files, output.number
    files.record_requested(transfer.job.id, number)
    try:
        transfer.services.photogpt.create_download(video_id)
    except Conflict:
        pass  # it is being prepared already, or was; the poll shows which
    except ApiError as error:
        lost = error.status is None and not error.definite
        if not lost:
            files.clear_requested(transfer.job.id, number)
        if isinstance(error, Refused):
            return False
        if not lost:
            raise
    return True


def _prepared_url(transfer: Transfer, output: Output, video_id: str) -> str:
    """Return the URL of the prepared file.

    Raises:
        NotReady: it is not prepared yet.
        FileError: the preparation failed, or takes too long.
    """
    waited_s = transfer.at - transfer.known.progress.requested.get(output.number, transfer.at)
    try:
        status = transfer.services.photogpt.download(video_id)
    except Refused as error:
        if waited_s < UNKNOWN_FOR_S:
            raise NotReady from None
        _request_again(transfer, output)
        raise FileError(f"PhotoGPT does not know the download that was requested: {error}") from error
    if status.is_ready and status.url and not _has_failed(status):
        return status.url
    if _has_failed(status) or waited_s > MAX_PREPARATION_S:
        _request_again(transfer, output)
        raise FileError(f"PhotoGPT has not prepared the file: its status is {status.status!r}")
    raise NotReady


def _has_failed(status: DownloadStatus) -> bool:
    return status.status in PREPARATION_FAILED


def _request_again(transfer: Transfer, output: Output) -> None:
    transfer.services.store.files.clear_requested(transfer.job.id, output.number)


def _store(transfer: Transfer, output: Output, url: str) -> None:
    """Stream a file from its URL to its key, and record it."""
    services, job = transfer.services, transfer.job
    stored = until_stopped(partial(_transferred, transfer, output, url), services.stopping)
    storage_outage.resolve()
    services.store.files.record_stored(job.id, output.number, stored)
    event("file.stored", f"{output.name} is stored", job=job.id, key=stored["key"], bytes=stored["bytes"])


def _transferred(transfer: Transfer, output: Output, url: str) -> StoredFile:
    """Stream a file from its URL to its key."""
    job, services = transfer.job, transfer.services
    finished_at = transfer.known.outcome["finished_at"]
    with (
        measured_transfer(job.id, url) as measured,
        services.downloader.open(url, is_video=output.is_video) as download,
    ):
        key = file_key(
            services.settings.outputs_key,
            job,
            output.number,
            download.media,
            finished_at=epoch(finished_at) if finished_at else transfer.known.progress.since,
        )
        transfer.storage.put(key, download.parts(), download.media.content_type)
        measured.size = download.size
    return {
        "key": key,
        "bytes": download.size,
        "sha256": download.sha256,
        "content_type": download.media.content_type,
        "source_url": download.source_url,
    }
