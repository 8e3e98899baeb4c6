"""Jobs that are not sent yet: what `submit` and `submit_many` take."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from photogpt_client import arguments
from photogpt_client.arguments import ImageArguments, TrainArguments, UpscaleArguments, VideoArguments
from photogpt_client.errors import InvalidJob
from photogpt_client.outcomes import Kind
from photogpt_client.validation import check_image, split

VERSION = 1  # of the entry's format
MAX_ENTRY = 1_000_000  # bytes
MAX_BATCH = 2_000  # bytes of them for the batch
SHAPES: dict[str, Any] = {
    "image": arguments.ImageArguments,
    "upscale": arguments.UpscaleArguments,
    "video": arguments.VideoArguments,
    "training": arguments.TrainArguments,
}


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is not sent yet. Its arguments are checked when it is sent."""

    kind: Kind
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """A job whose arguments are valid, before it is an entry of the inbox."""

    job_id: str
    kind: Kind
    #: The JSON object, without a batch.
    text: str

    def entry(self, *, batch: tuple[str, int] | None = None) -> Entry:
        """Return the entry; `batch` is the id and the total of the batch to which the job belongs."""
        if batch is None:
            return Entry(self.job_id, self.kind, self.text)
        named = dumps({"id": batch[0], "total": batch[1]})
        return Entry(self.job_id, self.kind, f'{self.text[:-1]},"batch":{named}}}')


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the inbox, and the job that it asks for."""

    job_id: str
    kind: Kind
    #: The JSON object.
    text: str


def image(**given: Unpack[ImageArguments]) -> NewJob:
    """Return an image to send, by one of PhotoGPT's public models or by a trained one."""
    return NewJob("image", given)


def upscale(**given: Unpack[UpscaleArguments]) -> NewJob:
    """Return an upscale to send."""
    return NewJob("upscale", given)


def video(**given: Unpack[VideoArguments]) -> NewJob:
    """Return a video to send."""
    return NewJob("video", given)


def train(**given: Unpack[TrainArguments]) -> NewJob:
    """Return a training to send."""
    return NewJob("training", given)


def check(job: NewJob, *, default_id: str | None = None) -> Checked:
    """Check the arguments of a job, and give it an id: its own, `default_id` or a random UUID.

    Raises:
        InvalidJob: names the argument that cannot be used.
    """
    if not isinstance(job, NewJob):
        raise InvalidJob("job", "must be made by photogpt_client.image, upscale, video or train")
    request, options = split(SHAPES[job.kind], job.arguments)
    if job.kind == "image":
        check_image(request)
    job_id = options.pop("id", None) or default_id or str(uuid.uuid4())
    given = {name: value for name, value in options.items() if value is not None}
    text = dumps({"v": VERSION, "id": job_id, "kind": job.kind, "request": request, **given})
    if len(text.encode()) > MAX_ENTRY - MAX_BATCH:
        raise InvalidJob("metadata", f"makes an entry of more than {MAX_ENTRY - MAX_BATCH} bytes of JSON")
    return Checked(job_id, job.kind, text)


def entry_of(job: NewJob, *, default_id: str | None = None, batch: tuple[str, int] | None = None) -> Entry:
    """Return the entry of the inbox for a job; `batch` is the id and the total of its batch. Raises as `check` does."""
    return check(job, default_id=default_id).entry(batch=batch)


def cancellation(job_id: str) -> Entry:
    """Return the entry of the inbox that cancels a job."""
    return Entry(job_id, "image", dumps({"v": VERSION, "kind": "cancel", "job_id": job_id}))


def dumps(value: object) -> str:
    """Return JSON without spaces, in UTF-8. U+FFFD is escaped: a worker takes it for bytes that were no UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("\N{REPLACEMENT CHARACTER}", "\\ufffd")
