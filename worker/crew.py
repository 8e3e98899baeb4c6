"""A lane's threads in one process: they see to what was claimed, and what only comes back is written in batches.

A tick hands its claim over and ends, so one slow call holds up neither its lane nor a Celery thread; how much may be
claimed is what the crew has room for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

GATHER_S = 0.05  # what comes back within it is written together
QUICK_S = 0.25  # calls that take less let a few times as many wait for a thread: none shall idle between two claims
WAITING = 3  # times the number of threads
PACE = 0.1  # weight of the latest call


class Crew:
    """Threads for one lane. They start when there is something to do: after every fork."""

    def __init__(self, name: str, size: int) -> None:
        """Name the threads, and say how many there may be."""
        self._name = name
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"{name}-call")
        self._lock = threading.Lock()
        self._taken = 0
        self._pace_s = 0.0
        self._back: SimpleQueue[tuple[Any, Callable[[list[Any]], None]] | None] = SimpleQueue()
        self._writer: threading.Thread | None = None

    def reserve(self, most: int) -> int:
        """Return how many members may be claimed now, up to `most`; each has to be taken or released."""
        with self._lock:
            room = self._size * (1 + WAITING * self.quick) - self._taken
            found = max(0, min(most, room))
            self._taken += found
        return found

    def release(self, count: int) -> None:
        """Give back what was reserved and not claimed."""
        with self._lock:
            self._taken -= count

    @property
    def quick(self) -> bool:
        """Whether calls have been short lately."""
        return self._pace_s < QUICK_S

    def take(self, work: Callable[[], Any], write: Callable[[list[Any]], None]) -> None:
        """See to one reserved member.

        Args:
            work: the step; what it returns, if anything, has to be written down. Raises nothing.
            write: writes some of those. Raises nothing. The same for every member of the lane.
        """
        self._pool.submit(self._run, work, write)

    def close(self) -> None:
        """Finish what is under way, and write what came back."""
        self._pool.shutdown(wait=True)
        if self._writer is not None:
            self._back.put(None)
            self._writer.join()

    def _run(self, work: Callable[[], Any], write: Callable[[list[Any]], None]) -> None:
        began = time.monotonic()
        try:
            found = work()
        finally:
            with self._lock:
                self._taken -= 1
                self._pace_s += PACE * (time.monotonic() - began - self._pace_s)
        if found is not None:
            self._back.put((found, write))
            if self._writer is None:
                self._start_writer()

    def _start_writer(self) -> None:
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name=f"{self._name}-writer", daemon=True)
                self._writer.start()

    def _write_all(self) -> None:
        while (first := self._back.get()) is not None:
            found, write = first
            batch, ends = [found], time.monotonic() + GATHER_S
            over = False
            while not over and (left := ends - time.monotonic()) > 0:
                try:
                    more = self._back.get(timeout=left)
                except Empty:
                    break
                if more is None:
                    over = True
                else:
                    batch.append(more[0])
            write(batch)
            if over:
                return
