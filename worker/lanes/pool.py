"""A lane's threads in one process: they see to what was claimed, and what only comes back is written in batches.

A tick hands its claim over and ends, so one slow call holds up neither its lane nor a Celery thread; how much may be
claimed is what the crew has room for.

Threads that have the same interpreter to wait for cost more than they do, so only as many run as keep it busy: a few
where a call takes a millisecond, all of them where it takes long. One that is stuck does not count from the next beat
on, so that it holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

BEAT_S = 0.05  # what comes back within it is written together; a call that takes longer is stuck
QUICK_S = 0.25  # calls that take less let a few times as many wait for a thread: none shall idle between two claims
WAITING = 3  # times the number of threads
PACE = 0.1  # weight of the latest call
FEWEST = 4  # threads that may run beside those that are stuck: one call a little slow shall not hold up the next
SPARE = 0.8  # of the threads that seem to be needed: time spent waiting for each other seems to be PhotoGPT's


class LanePool:
    """Threads for one lane. They start when there is something to do: after every fork."""

    def __init__(self, name: str, size: int) -> None:
        """Name the threads, and say how many there may be."""
        self._name = name
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"{name}-call")
        self._lock = threading.Lock()
        self._taken = 0
        #: How long calls take, and how much of it the processor does: slow ones, until it is known better.
        self._pace_s, self._effort_s = 0.2, 0.001
        self._waiting: deque[Callable[[], Any]] = deque()
        self._running = 0
        self._stuck = 0
        #: By thread: when the call began that it is in.
        self._begun: dict[int, float] = {}
        self._back: list[Any] = []
        self._write: Callable[[list[Any]], None] | None = None
        self._supervisor: threading.Thread | None = None
        self._some = threading.Event()
        self._closing = False

    def acquire_slots(self, most: int) -> int:
        """Return how many members may be claimed now, up to `most`; each has to be taken or released.

        Where calls are short there is no room before there is a good deal of it: a claim costs as much as some looks.
        """
        with self._lock:
            whole = self._size * (1 + WAITING * self.quick)
            room = whole - self._taken
            if self.quick and room < whole / 4:
                return 0
            found = max(0, min(most, room))
            self._taken += found
        return found

    def release_slots(self, count: int) -> None:
        """Give back what was reserved and not claimed."""
        with self._lock:
            self._taken -= count

    @property
    def quick(self) -> bool:
        """Whether calls have been short lately."""
        return self._pace_s < QUICK_S

    def submit(self, work: Callable[[], Any], write: Callable[[list[Any]], None]) -> None:
        """See to one reserved member.

        Args:
            work: the step; what it returns, if anything, has to be written down. Raises nothing.
            write: writes some of those. Raises nothing. The same for every member of the lane.
        """
        with self._lock:
            self._write = write
            self._waiting.append(work)
            self._let_in(1)
            self._some.set()
            if self._supervisor is None:
                self._supervisor = threading.Thread(target=self._supervise, name=f"{self._name}-foreman", daemon=True)
                self._supervisor.start()

    def close(self) -> None:
        """Finish what is under way, and write what came back."""
        with self._lock:
            self._closing = True
            self._stuck = self._size
            self._let_in(len(self._waiting))
            self._some.set()
        self._pool.shutdown(wait=True)
        if self._supervisor is not None:
            self._supervisor.join()

    def _wanted(self) -> int:
        """Return how many threads shall run: those that are stuck, and so many that the interpreter has no pause."""
        useful = round(SPARE * self._pace_s / self._effort_s)
        return min(self._size, self._stuck + max(useful, self._stuck, FEWEST))

    def _let_in(self, most: int) -> None:
        """Let more threads run, up to `most`. The caller holds the lock."""
        for _ in range(min(most, self._wanted() - self._running)):
            self._pool.submit(self._run)
            self._running += 1

    def _run(self) -> None:
        while (work := self._next()) is not None:
            found, spent_s = None, time.thread_time()
            with suppress(Exception):  # against its promise; others wait behind it
                found = work()
            spent_s = time.thread_time() - spent_s
            with self._lock:
                self._taken -= 1
                duration_s = time.monotonic() - self._begun.pop(threading.get_ident())
                self._pace_s += PACE * (duration_s - self._pace_s)
                self._effort_s += PACE * (spent_s - self._effort_s)
                if found is not None:
                    self._back.append(found)

    def _next(self) -> Callable[[], Any] | None:
        with self._lock:
            if not self._waiting or self._running > self._wanted():
                self._running -= 1
                return None
            self._begun[threading.get_ident()] = time.monotonic()
            return self._waiting.popleft()

    def _supervise(self) -> None:
        """Once a beat, write what came back, and let threads run in the place of those that are stuck."""
        over = False
        while not over:
            self._some.wait()
            time.sleep(BEAT_S)
            with self._lock:
                back, self._back = self._back, []
                if not self._closing:
                    late = time.monotonic() - BEAT_S
                    self._stuck = sum(began < late for began in self._begun.values())
                    self._let_in(len(self._waiting))
                    if not self._running:
                        self._some.clear()
                over = self._closing and not self._running
            if back and self._write:
                self._write(back)
