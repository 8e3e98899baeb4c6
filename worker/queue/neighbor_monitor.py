"""Neighbor monitor: every few minutes, warns of other apps on our broker and of a clock that differs."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError
from redis import RedisError

from worker.queue.checks import clock_warning
from worker.queue.neighbors import foreign_consumer_warning, foreign_consumers, unread_lists
from worker.telemetry.logs import event

if TYPE_CHECKING:
    from celery import Celery

    from worker.services import Services

INTERVAL_S = 300.0


class NeighborMonitor:
    """A thread in every worker process. Each checks when it starts, and then one of them every five minutes."""

    def __init__(self, app: Celery, services: Services) -> None:
        """Prepare; `start` starts the thread."""
        self._app = app
        self._server = services.store.server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbor-monitor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after the check in progress."""
        self._stop.set()

    def _run(self) -> None:
        self._survive()
        while not self._stop.wait(INTERVAL_S * random.uniform(0.9, 1.1)):  # noqa: S311 - spreads workers, no secret
            self._survive(shared=True)

    def _survive(self, *, shared: bool = False) -> None:
        try:
            if not shared or self._server.claim_neighbor_check(INTERVAL_S * 0.8):
                self.check()
        except (OperationalError, RedisError, OSError):
            pass  # the consumer and the lane monitor report it
        except Exception:  # noqa: BLE001 - the thread must survive every error
            event("neighbor_monitor.failed", "the check failed; the next one runs in minutes", exc_info=True)

    def check(self) -> None:
        """Log what an operator must know: unread lists, another app's consumers, a clock that differs."""
        for each in unread_lists(self._app):
            event("queue.unread", str(each), warn=True, list=each.name, messages=each.length)
        if names := foreign_consumers(self._app):
            event("queue.foreign_consumer", foreign_consumer_warning(names), warn=True, workers=names)
        offset_s = self._server.clock_offset_s()
        if warning := clock_warning(offset_s):
            event("redis.clock_skewed", warning, warn=True, offset_s=round(offset_s))
