"""Spaces the polls of generations that a list poll shows as ended, and whose end a webhook reports.

A page of the list can show many of them. Polled all at once, their threads take turns on one CPU, so that each job
waits for all others: of 100, the webhooks left 75 to 190 ms after the polls (mean). In pairs they leave after 6 to
12 ms, the average one no later than before and the last one 100 ms later (`ops/adr/0012-mechanisms.md`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

GROUP = 2  # threads that begin together: their scripts share round trips
MIN_S = 0.005  # from one group to the next: about the CPU time of its jobs from their polls to their webhooks
MAX_S = 0.012  # the same, in a process that is busy
MAX_BUSY = 0.85  # share of the time since the last group in which an idle process has used a CPU at most
CHECK_S = 0.0005  # from one check of that share to the next


class Pace:
    """Lets the threads of a process begin in groups, each as soon as the CPU has time for it."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Let the first threads begin at once.

        Args:
            clock: returns seconds that only grow.
            cpu_s: returns the CPU time that the process has used, in seconds.
            sleep: waits for so many seconds.
        """
        self._clock = clock
        self._cpu_s = cpu_s
        self._sleep = sleep
        self._lock = threading.Lock()
        self._places = 0
        self._began, self._used_s = clock() - MAX_S, cpu_s()

    def wait(self) -> None:
        """Wait for a place in a group, which begins 5 ms after the one before, or up to 12 ms in a busy process."""
        with self._lock:
            if self._places == 0:
                self._sleep(max(0.0, self._began + MIN_S - self._clock()))
                while self._is_busy():
                    self._sleep(CHECK_S)
                self._began, self._used_s = self._clock(), self._cpu_s()
                self._places = GROUP
            self._places -= 1

    def _is_busy(self) -> bool:
        waited_s = self._clock() - self._began
        return waited_s < MAX_S and self._cpu_s() - self._used_s > MAX_BUSY * waited_s
