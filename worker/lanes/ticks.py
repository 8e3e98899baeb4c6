"""Runs ticks that come due soon in the process that asked for them, without a message.

A message costs about 3 ms of CPU to send, receive and acknowledge, and some milliseconds of delay. A tick that is lost
with its process is sent again by the lane monitor of another worker, as a message would be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from worker.domain.lane import SOON_S, Lane
from worker.store.lanes import Tick
from worker.telemetry.logs import event
from worker.threads import LifoExecutor

MAX_LOCAL = 2 * len(Lane)
"""Ticks that wait or run in one process, each in a thread of its own; further ones are messages."""


class LocalTicks:
    """The ticks that wait in this process or run in it."""

    def __init__(
        self, run: Callable[[Lane, str], None], send: Callable[[Tick], None], stopping: threading.Event
    ) -> None:
        """Start no thread yet; `start` does.

        Args:
            run: runs a lane, given the token of its tick.
            send: sends a tick as a message.
            stopping: set once the process has to stop; ticks that wait are sent then.
        """
        self._run = run
        self._send = send
        self._stopping = stopping
        self._lock = threading.Lock()
        self._taken = 0
        self._executor = LifoExecutor(MAX_LOCAL, name="tick")

    def start(self) -> None:
        """Start the first thread.

        Raises:
            RuntimeError: no thread can start.
        """
        self._executor.start()

    def take(self, tick: Tick) -> bool:
        """Run a tick here once it is due; return False if it has to be sent as a message."""
        if tick.delay > SOON_S or self._stopping.is_set():
            return False
        with self._lock:
            if self._taken >= MAX_LOCAL:
                return False
            self._taken += 1
        try:
            self._executor.submit(self._wait_and_run, tick)
        except RuntimeError:  # the process stops
            self._release()
            return False
        return True

    def close(self) -> None:
        """Wait for the runs in progress; ticks that wait are sent."""
        self._executor.shutdown(wait=True)

    def _wait_and_run(self, tick: Tick) -> None:
        try:
            if self._stopping.wait(tick.delay):
                self._send(replace(tick, delay=0))
            else:
                self._run(tick.lane, tick.token)
        except Exception:  # noqa: BLE001 - the lane goes on with a tick of the lane monitor
            event("lane.run_failed", "running a lane raised; its next tick follows", exc_info=True, lane=tick.lane)
        finally:
            self._release()

    def _release(self) -> None:
        with self._lock:
            self._taken -= 1
