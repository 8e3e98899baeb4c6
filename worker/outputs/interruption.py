"""A transfer that a worker does not wait for once it has to stop, whatever the transfer is blocked on."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

GRACE_S = 3.0  # for the last bytes; Docker kills a container 10 s after SIGTERM
CHECK_S = 0.25


class Stopped(Exception):
    """The worker stops; another one stores the file."""


class _Transfer(Generic[T]):
    """A call in a thread of its own. It is a daemon: the process ends although the thread may be blocked."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._returned: list[T] = []
        self._error: BaseException | None = None
        self.done = threading.Event()
        context = contextvars.copy_context()  # of the trace
        threading.Thread(target=context.run, args=(self._run,), name="files-transfer", daemon=True).start()

    def _run(self) -> None:
        try:
            self._returned.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
        finally:
            self.done.set()

    def result(self) -> T:
        """Return what the call returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._returned[0]


def until_stopped(work: Callable[[], T], stopping: threading.Event, *, grace_s: float = GRACE_S) -> T:
    """Return what a call returns; leave it behind if the worker stops and it has not returned soon after.

    A storage that is frozen holds a call for a minute, and a host for PHOTOGPT_OUTPUTS_STALL_S.

    Args:
        work: may be left in the middle of it, at the end of the process.
        stopping: set once the worker has to stop.
        grace_s: seconds after that.

    Raises:
        Stopped: the call was left behind.
    """
    transfer, ends = _Transfer(work), 0.0
    while not transfer.done.wait(CHECK_S):
        if stopping.is_set():
            ends = ends or time.monotonic() + grace_s
            if time.monotonic() > ends:
                raise Stopped
    return transfer.result()
