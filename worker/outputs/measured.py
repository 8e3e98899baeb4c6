"""Measures the transfers of files for metrics and traces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.domain.errors import FileError, StorageError
from worker.telemetry import recorder, traces
from worker.telemetry.labels import FileOutcome
from worker.telemetry.metrics import FILE_BYTES, FILE_DURATION, FILE_TRANSFERS
from worker.telemetry.spans import Attributes, SpanKind


@dataclass
class FileTransfer:
    """A transfer in progress. The caller sets the size of what it has stored."""

    #: Bytes.
    size: int = 0


@contextmanager
def measured_transfer(job_id: str, url: str) -> Iterator[FileTransfer]:
    """Return a context in which one file is transferred; an error ends the transfer and goes on.

    Args:
        job_id: the job that made the file.
        url: of the file; only its host becomes part of the trace.
    """
    attributes: Attributes = {"photogpt.job.id": job_id, "server.address": urlsplit(url).hostname or ""}
    transfer, started, outcome = FileTransfer(), time.monotonic(), FileOutcome.INTERRUPTED
    with traces.span("store file", SpanKind.CLIENT, attributes) as span:
        try:
            yield transfer
            outcome = FileOutcome.STORED
            recorder.count(FILE_BYTES, by=transfer.size)
        except FileError:
            outcome = FileOutcome.DOWNLOAD_FAILED
            raise
        except StorageError:
            outcome = FileOutcome.STORAGE_FAILED
            raise
        finally:
            recorder.count(FILE_TRANSFERS, outcome)
            recorder.observe(FILE_DURATION, time.monotonic() - started)
            span.set({"photogpt.file.outcome": outcome, "photogpt.file.bytes": transfer.size})
