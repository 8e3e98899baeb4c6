"""The clients of one process, opened once and closed together."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Protocol

from config.settings import Settings
from worker.domain.job import Job, JobState, JsonObject
from worker.domain.outcome import Outcome
from worker.outputs.download import Downloader
from worker.outputs.storage import Storage, open_storage
from worker.pace import Pace
from worker.photogpt.client import PhotoGPT
from worker.store.lanes import Tick
from worker.store.records import ResultUpdate
from worker.store.store import Store, open_store
from worker.webhooks.sender import WebhookSender


class TaskPublisher(Protocol):
    """What the steps need of Celery. Best effort: the job is stored already, and the lane monitor re-sends a tick."""

    def publish_tick(self, tick: Tick) -> None:
        """Let a lane run, in this process or by a message. If the broker is unavailable, that is lost and logged."""

    def send_tick(self, tick: Tick) -> None:
        """Send a tick message, for any worker."""

    def resend_task(self, continuation: JsonObject) -> None:
        """Send the producer's task again, so that Celery stores its result and runs its canvas."""

    def progress(self, job: Job, state: JobState, generation_id: str | None) -> ResultUpdate:
        """Return what `AsyncResult.state` and `.info` show while the job is under way."""

    def result(self, job: Job, outcome: Outcome) -> ResultUpdate:
        """Return what `AsyncResult.get()` returns or raises once the job has ended."""

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Send Celery's task event for a job whose result was stored without a message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The clients of one process, its settings, and the flag that it stops."""

    settings: Settings
    store: Store
    photogpt: PhotoGPT
    sender: WebhookSender
    downloader: Downloader
    #: Where outputs are stored; None if they are not.
    storage: Storage | None
    publisher: TaskPublisher
    random: random.Random = field(default_factory=random.Random)
    pace: Pace = field(default_factory=Pace)
    #: Set once the process has to stop: no step begins after that.
    stopping: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Close every connection."""
        self.downloader.close()
        self.sender.close()
        self.photogpt.close()
        self.store.close()


def open_services(settings: Settings, publisher: TaskPublisher) -> Services:
    """Return the clients. Connections open when they are needed.

    Raises:
        StorageError: PHOTOGPT_OUTPUTS cannot be used.
    """
    stopping = threading.Event()
    return Services(
        settings=settings,
        store=open_store(settings, publish_tick=publisher.publish_tick),
        photogpt=PhotoGPT(settings),
        sender=WebhookSender(settings),
        downloader=Downloader(settings, stopping),
        storage=open_storage(settings),
        publisher=publisher,
        stopping=stopping,
    )
