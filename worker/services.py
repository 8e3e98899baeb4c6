"""What a process works with: clients opened once, after the fork, and closed in reverse."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.settings import Settings
from worker.domain.job import Job, JobState, JsonObject
from worker.domain.outcome import Outcome
from worker.lanes.pool import LanePool
from worker.photogpt.client import PhotoGPT
from worker.store.connection import Store, open_store
from worker.store.keys import Lane
from worker.store.lanes import Tick
from worker.store.records import ResultUpdate
from worker.webhooks.sender import WebhookSender


class TaskPublisher(Protocol):
    """What the line asks of the queue. Nothing here may be relied upon: the ledger was written before."""

    def publish_tick(self, tick: Tick) -> None:
        """Send a tick message. If the broker is unavailable, log that and return."""

    def resend_task(self, continuation: JsonObject) -> None:
        """Send the message that lets Celery store a job's result and go on with the canvas."""

    def progress(self, job: Job, state: JobState, generation_id: str | None) -> ResultUpdate:
        """Return what lets `AsyncResult.state` and `.info` tell how far a job is."""

    def result(self, job: Job, outcome: Outcome) -> ResultUpdate:
        """Return what lets `AsyncResult.get()` return the outcome, or raise."""

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Tell the queue's own watchers of a job whose result was written without a message."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The clients of one process."""

    settings: Settings
    store: Store
    photogpt: PhotoGPT
    sender: WebhookSender
    publisher: TaskPublisher
    random_fraction: random.Random = field(default_factory=random.SystemRandom)
    #: The threads on which a lane's calls run: its own, so that none can hold up another.
    pools: dict[Lane, LanePool]
    #: This process is told to end: what is claimed and not begun goes back at once.
    stopping: threading.Event = field(default_factory=threading.Event)
    #: Statuses that PhotoGPT's pages do not name, logged once each.
    unknown_statuses: set[str] = field(default_factory=set)
    #: Models of generations that were candidates of a job in doubt.
    models_of: dict[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Finish calls under way and close every connection."""
        for pool in self.pools.values():
            pool.close()
        closing: list[Any] = [self.sender, self.photogpt, self.store]
        for client in closing:
            client.close()


def open_services(settings: Settings, publisher: TaskPublisher) -> Services:
    """Return the clients; connections open when they are needed."""
    return Services(
        settings=settings,
        store=open_store(settings, publisher.publish_tick),
        photogpt=PhotoGPT(settings),
        sender=WebhookSender(settings),
        publisher=publisher,
        pools={lane: LanePool(lane, settings.call_concurrency) for lane in Lane},
    )
