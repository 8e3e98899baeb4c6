"""What a process works with: clients opened once, after the fork, and closed in reverse."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.settings import Settings
from worker.crew import Crew
from worker.domain.job import Job, JobState, type_json
from worker.photogpt.client import PhotoGPT
from worker.store.connection import Store, open_store
from worker.store.keys import Lane
from worker.store.lanes import Wake
from worker.store.records import Told
from worker.webhooks.sender import WebhookSender


class Messages(Protocol):
    """What the line asks of the queue. Nothing here may be relied upon: the ledger was written before."""

    def wake(self, wake: Wake) -> None:
        """Send a tick message. Loses it, with a line in the log, if the broker is away."""

    def resume(self, continuation: type_json) -> None:
        """Send the message that lets Celery store a job's result and go on with the canvas."""

    def progress(self, job: Job, state: JobState, generation_id: str | None) -> Told:
        """Return what lets `AsyncResult.state` and `.info` tell how far a job is."""

    def result(self, job: Job, outcome: type_json) -> Told:
        """Return what lets `AsyncResult.get()` return the outcome, or raise."""

    def ended(self, job: Job, outcome: type_json) -> None:
        """Tell the queue's own watchers of a job whose result was written without a message."""


Wakes = Callable[[Iterable[Wake]], None]
"""Sends what a script said is missing."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The clients of one process."""

    settings: Settings
    store: Store
    photogpt: PhotoGPT
    sender: WebhookSender
    messages: Messages
    chance: random.Random = field(default_factory=random.SystemRandom)
    #: The threads on which a lane's calls run: its own, so that none can hold up another.
    crews: dict[Lane, Crew]
    #: This process is told to end: what is claimed and not begun goes back at once.
    stopping: threading.Event = field(default_factory=threading.Event)
    #: Statuses that PhotoGPT's pages do not name, logged once each.
    unknown_statuses: set[str] = field(default_factory=set)
    #: Models of generations that were candidates of a job in doubt.
    models_of: dict[str, str] = field(default_factory=dict)

    def send(self, wakes: Iterable[Wake]) -> None:
        """Send what a script said is missing."""
        for wake in wakes:
            self.messages.wake(wake)

    def close(self) -> None:
        """Finish calls under way and close every connection."""
        for crew in self.crews.values():
            crew.close()
        closing: list[Any] = [self.sender, self.photogpt, self.store]
        for client in closing:
            client.close()


def open_services(settings: Settings, messages: Messages) -> Services:
    """Return the clients; connections open when they are needed."""
    return Services(
        settings=settings,
        store=open_store(settings),
        photogpt=PhotoGPT(settings),
        sender=WebhookSender(settings),
        messages=messages,
        crews={lane: Crew(lane, settings.call_concurrency) for lane in Lane},
    )
