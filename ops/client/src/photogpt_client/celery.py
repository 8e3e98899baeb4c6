"""Typed signatures for producers that send with Celery. In a chain, the task before fills what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from celery import Celery, Signature, current_app

from photogpt_client import arguments
from photogpt_client.arguments import ChainedImage, ChainedTraining, ChainedUpscale, ChainedVideo
from photogpt_client.validation import split


def image(app: Celery | None = None, /, **given: Unpack[ChainedImage]) -> Signature[Any]:
    """Return a signature of `photogpt.generate_image`.

    Args:
        app: default: Celery's current app.
        given: the fields of PhotoGPT's request, and the options of the job; `id` is the task's id.

    Raises:
        InvalidJob: names the argument that cannot be used.
    """
    return _signature(app, "photogpt.generate_image", arguments.ChainedImage, given)


def upscale(app: Celery | None = None, /, **given: Unpack[ChainedUpscale]) -> Signature[Any]:
    """Return a signature of `photogpt.upscale_image`, as `image` does."""
    return _signature(app, "photogpt.upscale_image", arguments.ChainedUpscale, given)


def video(app: Celery | None = None, /, **given: Unpack[ChainedVideo]) -> Signature[Any]:
    """Return a signature of `photogpt.generate_video`, as `image` does."""
    return _signature(app, "photogpt.generate_video", arguments.ChainedVideo, given)


def train(app: Celery | None = None, /, **given: Unpack[ChainedTraining]) -> Signature[Any]:
    """Return a signature of `photogpt.train_model`, as `image` does."""
    return _signature(app, "photogpt.train_model", arguments.ChainedTraining, given)


def _signature(app: Celery | None, task: str, shape: Any, given: Mapping[str, Any]) -> Signature[Any]:
    request, options = split(shape, given)
    task_id = options.pop("id", None)
    sent = {"task_id": task_id} if task_id else {}
    return (app or current_app).signature(task, kwargs={"request": request, **options}, options=sent)
