"""Finds out whether a slow loop waits for Redis or the broker, which is no fault of this process.

One command of redis-py on a server that accepts connections and does not answer may take more than a minute, since it
repeats both the command and the connection. This thread asks with a client that repeats nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from worker.store.connection import answers
from worker.telemetry import health as limits
from worker.telemetry.health import health

if TYPE_CHECKING:
    from celery import Celery

    from config.settings import Settings


class ServerWatch:
    """A thread that asks the servers while a loop is slow, and does nothing otherwise."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        """Prepare; `start` starts the thread."""
        self._app = app
        self._settings = settings
        self._every_s = limits.MAX_LOOP_AGE_S / 12

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="server-watch", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._every_s):
            if health.slowest_s() > 3 * self._every_s and not self._all_answer():
                health.server_silent()

    def _all_answer(self) -> bool:
        settings = self._settings
        urls = {settings.store_url, settings.queue_url}
        return all(self._answers(url) for url in urls)

    def _answers(self, url: str) -> bool:
        if urlsplit(url).scheme.startswith(("redis", "sentinel")):
            return answers(self._settings, url, timeout_s=self._every_s)
        connection: Any = self._app.connection_for_read(connect_timeout=self._every_s, heartbeat=0)
        try:
            connection.connect()
        except Exception:  # noqa: BLE001 - whatever it is, the broker cannot be used
            return False
        finally:
            connection.release()
        return True
