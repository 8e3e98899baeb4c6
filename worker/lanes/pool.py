"""The threads of one lane in one process.

The lane runner claims no more than there are free slots, so a slow call delays neither its lane nor a Celery thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from worker.telemetry.logs import event
from worker.threads import LifoExecutor

T = TypeVar("T")

BATCH_S = 0.05  # values that steps return within this time are written with one script


class LanePool(Generic[T]):
    """Runs one step per claimed item, and writes what steps return, in batches if there are many."""

    def __init__(self, name: str, size: int, write: Callable[[list[T]], None]) -> None:
        """Start no thread yet; `start` does.

        Args:
            name: of the threads.
            size: threads, and so slots.
            write: writes the values that steps returned.
        """
        self._name = name
        self._executor = LifoExecutor(size, name=f"{name}-step")
        self._write = write
        self._lock = threading.Lock()
        self._slot_freed = threading.Condition(self._lock)
        self._size = self._free = size
        self._refill = max(1, size // 4)
        self._returned: list[T] = []
        self._has_returned = threading.Event()
        self._closing = False
        self._writer = threading.Thread(target=self._write_batches, name=f"{name}-writer", daemon=True)

    def start(self) -> None:
        """Start the thread that writes and a first one for steps.

        Raises:
            RuntimeError: no thread can start.
        """
        self._writer.start()
        self._executor.start()

    @property
    def free_slots(self) -> int:
        """Slots that are not in use."""
        return self._free

    @property
    def busy_slots(self) -> int:
        """Slots that are in use."""
        return self._size - self._free

    def acquire_slots(self, limit: int, *, wait_s: float = 0) -> int:
        """Return how many items may be claimed, up to `limit`; submit or release each of them.

        Waits up to `wait_s` seconds until a quarter of the slots are free, since a claim of one item costs as much as a
        claim of many.
        """
        with self._lock:
            self._slot_freed.wait_for(lambda: self._free >= min(limit, self._refill), wait_s)
            acquired = min(limit, self._free)
            self._free -= acquired
        return acquired

    def release_slots(self, count: int) -> None:
        """Give back slots for which nothing was claimed, or whose step has returned."""
        with self._lock:
            self._free += count
            self._slot_freed.notify_all()

    def submit(self, step: Callable[[], T | None]) -> None:
        """Run a step in an acquired slot. A value that it returns is written; it must not raise."""
        self._executor.submit(self._run, step)

    def close(self) -> None:
        """Finish the steps in progress and write what they return."""
        self._executor.shutdown()
        with self._lock:
            self._closing = True
            self._has_returned.set()
        if self._writer.is_alive():
            self._writer.join()

    def _run(self, step: Callable[[], T | None]) -> None:
        returned = None
        try:
            returned = step()
        except Exception:  # noqa: BLE001 - the thread must survive every error
            event("step.failed", "a step raised; its item comes due again", exc_info=True, lane=self._name)
        finally:
            self.release_slots(1)
        if returned is not None:
            self._write_soon(returned)

    def _write_soon(self, value: T) -> None:
        """Write what a step returned: at once if no other step is in progress, else with what those return."""
        with self._lock:
            alone = self._free == self._size and not self._returned
            if not alone:
                self._returned.append(value)
                self._has_returned.set()
        if alone:
            self._write_one([value])

    def _write_batches(self) -> None:
        closing = False
        while not closing:
            self._has_returned.wait()
            time.sleep(BATCH_S)
            with self._lock:
                closing = self._closing
                batch, self._returned = self._returned, []
                if not closing:
                    self._has_returned.clear()
            if batch:
                self._write_one(batch)

    def _write_one(self, batch: list[T]) -> None:
        try:
            self._write(batch)
        except Exception:  # noqa: BLE001 - the thread must survive every error
            message = "writing raised; the items come due again when their lease ends"
            event("lane.write_failed", message, exc_info=True, lane=self._name, items=len(batch))
