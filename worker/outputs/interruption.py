"""A transfer that a worker does not wait for once it has to stop, whatever the transfer is blocked on."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import TypeVar

from worker.threads import LifoExecutor

T = TypeVar("T")

GRACE_S = 3.0  # for the last bytes; Docker kills a container 10 s after SIGTERM
CHECK_S = 0.25


class Stopped(Exception):
    """The worker stops; another one stores the file."""


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
    pool, ends = LifoExecutor(1, name="files-transfer"), 0.0
    transfer = pool.submit(contextvars.copy_context().run, work)  # in the same trace
    pool.shutdown(wait=False)  # its thread ends with the transfer, and does not keep the process alive
    while not wait([transfer], CHECK_S).done:
        if stopping.is_set():
            ends = ends or time.monotonic() + grace_s
            if time.monotonic() > ends:
                raise Stopped
    return transfer.result()
