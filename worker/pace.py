"""Spaces the polls of generations that a list poll shows as ended.

A page of the list can show many of them. Polled all at once, their threads take turns on one CPU, so that each job
waits for all others: of 100, the webhooks left 75 to 190 ms after the polls (mean). One after another they leave after
5 ms, the average one no later than before and the last one 90 ms later (`ops/adr/0012-mechanisms.md`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MIN_S = 0.0025  # from one poll to the next: about the CPU time of a job from its poll to its webhook
MAX_S = 0.006  # the same, in a process that is busy
MAX_BUSY = 0.85  # share of the time since the last poll in which an idle process has used a CPU at most
CHECK_S = 0.0005  # from one check of that share to the next


class Pace:
    """Lets one thread of a process after another begin, no sooner than the CPU has time for it."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Let the first thread begin at once.

        Args:
            clock: returns seconds that only grow.
            cpu_s: returns the CPU time that the process has used, in seconds.
            sleep: waits for so many seconds.
        """
        self._clock = clock
        self._cpu_s = cpu_s
        self._sleep = sleep
        self._lock = threading.Lock()
        self._began, self._used_s = clock() - MAX_S, cpu_s()

    def wait(self) -> None:
        """Wait until 2.5 ms after the thread before has begun, and up to 6 ms while the process is busy."""
        with self._lock:
            self._sleep(max(0.0, self._began + MIN_S - self._clock()))
            while self._is_busy():
                self._sleep(CHECK_S)
            self._began, self._used_s = self._clock(), self._cpu_s()

    def _is_busy(self) -> bool:
        waited_s = self._clock() - self._began
        return waited_s < MAX_S and self._cpu_s() - self._used_s > MAX_BUSY * waited_s
