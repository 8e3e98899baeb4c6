"""Files of a job: the outputs that are to be stored, and what is known of those that are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict
from urllib.parse import urlsplit

from worker.domain.job import JsonObject

STORED, NOT_STORED = "job.stored", "job.not_stored"
FILE_EVENTS = (STORED, NOT_STORED)
"""The events of a job that ended before its files were stored: all are there, or some were given up."""

FILES_SEQUENCE = 5
"""These events come after the end of the job."""


class StoredFile(TypedDict):
    """One entry of `files` in an outcome."""

    #: Below the bucket's prefix, or relative to the folder.
    key: str
    bytes: int
    #: In hexadecimal.
    sha256: str
    #: By the first bytes of the file.
    content_type: str
    #: Where it was downloaded from.
    source_url: str


@dataclass(frozen=True, slots=True)
class Output:
    """One image or video of a generation."""

    #: Counted from 1, the images first.
    number: int
    is_video: bool
    #: PhotoGPT's record, unchanged.
    record: JsonObject

    @property
    def id(self) -> str | None:
        """PhotoGPT's id of the image or video."""
        value = self.record.get("id")
        return str(value) if isinstance(value, str | int) and value else None

    @property
    def url(self) -> str | None:
        """The URL in the record, if there is one that can be downloaded."""
        value = self.record.get("url") or self.record.get("value")
        return value if isinstance(value, str) and urlsplit(value).scheme in {"http", "https"} else None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{'video' if self.is_video else 'image'} {self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProgress:
    """How far the files of a job are, as Redis stores it."""

    #: When the job began to wait for its files, epoch seconds.
    since: float
    #: Failed attempts in a row.
    attempts: int = 0
    #: The last failure.
    error: str | None = None
    #: Stored files, by number.
    stored: Mapping[int, StoredFile] = field(default_factory=dict)
    #: When the download of a video was requested, epoch seconds, by number.
    requested: Mapping[int, float] = field(default_factory=dict)

    @property
    def files(self) -> list[StoredFile]:
        """The stored files in the order of the outputs."""
        return [self.stored[number] for number in sorted(self.stored)]


def outputs_of(outcome: Mapping[str, Any]) -> list[Output]:
    """Return the images and videos of an outcome."""
    records = [(False, record) for record in outcome["images"]] + [(True, record) for record in outcome["videos"]]
    return [Output(number, is_video, record) for number, (is_video, record) in enumerate(records, 1)]
