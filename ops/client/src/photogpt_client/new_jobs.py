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


def entry_of(job: NewJob, *, default_id: str | None = None, batch: tuple[str, int] | None = None) -> Entry:
    """Return the entry of the inbox for a job.

    Args:
        job: its arguments are checked.
        default_id: the id of a job without one; default: a random UUID.
        batch: id and total of the batch to which the job belongs.

    Raises:
        InvalidJob: names the argument that cannot be used.
    """
    request, options = split(SHAPES[job.kind], job.arguments)
    if job.kind == "image":
        check_image(request)
    job_id = options.pop("id", None) or default_id or str(uuid.uuid4())
    given = {name: value for name, value in options.items() if value is not None}
    body = {"v": VERSION, "id": job_id, "kind": job.kind, "request": request, **given}
    if batch:
        body["batch"] = {"id": batch[0], "total": batch[1]}
    text = dumps(body)
    if len(text.encode()) > MAX_ENTRY:
        raise InvalidJob("metadata", f"makes an entry of more than {MAX_ENTRY} bytes of JSON")
    return Entry(job_id, job.kind, text)


def cancellation(job_id: str) -> Entry:
    """Return the entry of the inbox that cancels a job."""
    return Entry(job_id, "image", dumps({"v": VERSION, "kind": "cancel", "job_id": job_id}))


def dumps(value: object) -> str:
    """Return JSON without spaces, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
