"""Sends jobs to photogpt-worker, and waits for their outcomes.

    from photogpt_client import Client

    client = Client("redis://…")
    job = client.image(modelID="nanobanana", prompt="A quiet harbour at dawn")
    outcome = job.result(timeout=300)

Names are imported at their first use, so that importing the package takes a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photogpt_client.aio import AsyncBatch as AsyncBatch
    from photogpt_client.aio import AsyncClient as AsyncClient
    from photogpt_client.aio import AsyncJob as AsyncJob
    from photogpt_client.batches import Batch as Batch
    from photogpt_client.batches import Refusal as Refusal
    from photogpt_client.client import Client as Client
    from photogpt_client.completion import as_completed as as_completed
    from photogpt_client.errors import InvalidJob as InvalidJob
    from photogpt_client.errors import JobCanceled as JobCanceled
    from photogpt_client.errors import JobExpired as JobExpired
    from photogpt_client.errors import JobFailed as JobFailed
    from photogpt_client.errors import JobGone as JobGone
    from photogpt_client.errors import JobNotSucceeded as JobNotSucceeded
    from photogpt_client.errors import PhotoGPTError as PhotoGPTError
    from photogpt_client.errors import RedisRefused as RedisRefused
    from photogpt_client.errors import RedisUnavailable as RedisUnavailable
    from photogpt_client.errors import WaitTimeout as WaitTimeout
    from photogpt_client.jobs import Job as Job
    from photogpt_client.new_jobs import NewJob as NewJob
    from photogpt_client.new_jobs import image as image
    from photogpt_client.new_jobs import train as train
    from photogpt_client.new_jobs import upscale as upscale
    from photogpt_client.new_jobs import video as video
    from photogpt_client.outcomes import BatchOutcome as BatchOutcome
    from photogpt_client.outcomes import Event as Event
    from photogpt_client.outcomes import Outcome as Outcome

__all__ = [
    "AsyncBatch", "AsyncClient", "AsyncJob", "Batch", "BatchOutcome", "Client", "Event", "InvalidJob", "Job",
    "JobCanceled", "JobExpired", "JobFailed", "JobGone", "JobNotSucceeded", "NewJob", "Outcome", "PhotoGPTError",
    "RedisRefused", "RedisUnavailable", "Refusal", "WaitTimeout", "as_completed", "image", "train", "upscale",
    "video",
]  # fmt: skip

HOMES = {
    "aio": ("AsyncBatch", "AsyncClient", "AsyncJob"),
    "batches": ("Batch", "Refusal"),
    "client": ("Client",),
    "errors": (
        "InvalidJob", "JobCanceled", "JobExpired", "JobFailed", "JobGone", "JobNotSucceeded", "PhotoGPTError",
        "RedisRefused", "RedisUnavailable", "WaitTimeout",
    ),
    "completion": ("as_completed",),
    "jobs": ("Job",),
    "new_jobs": ("NewJob", "image", "train", "upscale", "video"),
    "outcomes": ("BatchOutcome", "Event", "Outcome"),
}  # fmt: skip
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
