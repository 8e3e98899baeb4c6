"""Keeps the threads of a worker on one CPU at a time.

Python runs one thread at a time, and may change threads at each system call. If the next thread is on another CPU, both
CPUs work on the change: a third of all CPU at 1,000 jobs (`ops/adr/0024-one-cpu-for-a-worker.md`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

MAX_WAITED_S = 0.002  # of the calling thread for its CPU, from one call of `settle` to the next
MOVE_S = 0.001  # in which Linux finds a CPU for a thread that may run on any
THREADS = Path("/proc/self/task")
THIS_THREAD = Path("/proc/thread-self")
CPU_FIELD = 36  # behind the command in /proc/…/stat, proc_pid_stat(5)


class OneCpu:
    """The CPU on which all threads of this process run, out of those that the process may use. On Linux only."""

    def __init__(self) -> None:
        """Move nothing yet; `settle` does."""
        self._allowed: set[int] = set()
        if sys.platform == "linux":
            self._allowed = os.sched_getaffinity(0)
        self._waited_s = 0.0

    def settle(self) -> None:
        """Move all threads to a free CPU, at the first call and when the calling thread had to wait for its CPU.

        A thread that starts later runs on the CPU of the thread that starts it.
        """
        if len(self._allowed) < 2:
            return
        waited_s = _waited_s()
        if not self._waited_s or waited_s - self._waited_s > MAX_WAITED_S:
            with contextlib.suppress(OSError):  # forbidden here: the threads stay where they are
                self._move()
            waited_s = _waited_s()
        self._waited_s = waited_s

    def leave(self) -> None:
        """Let the calling thread, and what it starts, run on each CPU again: on SIGHUP Celery starts a new worker."""
        if len(self._allowed) > 1:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._allowed)

    def _move(self) -> None:
        """Move all threads to the CPU that Linux gives to this one when it may run on any."""
        self.leave()
        time.sleep(MOVE_S)
        cpu = int((THIS_THREAD / "stat").read_text().rpartition(")")[2].split()[CPU_FIELD])
        for thread in THREADS.iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread.name), {cpu})


def _waited_s() -> float:
    """Return for how many seconds the calling thread has waited for its CPU, as Linux counts them (sched-stats).

    0 where Linux does not count them: then each call of `settle` moves the threads.
    """
    try:
        return int((THIS_THREAD / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
