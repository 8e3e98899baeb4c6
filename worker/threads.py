"""A pool of threads in which the thread that became free last runs the next call.

Python's own pool takes turns. With few calls at a time, all its threads work a little, and each finds the CPU's caches
filled by others: at 1,000 jobs with 32 threads, that cost a tenth more CPU (`ops/adr/0012-mechanisms.md`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from worker.telemetry import shortage

P = ParamSpec("P")
T = TypeVar("T")
Call = tuple[Future[Any], Callable[[], Any]]


class LifoExecutor(Executor):
    """An executor that starts a thread when it is needed, and goes on with those it has where no further one can start.

    Its threads are daemons: a process ends although a call is blocked.
    """

    def __init__(self, size: int, *, name: str = "pool") -> None:
        """Start no thread yet; `start` or the first call does.

        Args:
            size: threads at most; further calls wait for a free one.
            name: of the threads, before their number.
        """
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []  # under this name, Celery counts the threads of its pool
        self._free: list[SimpleQueue[Call | None]] = []
        self._waiting: deque[Call] = deque()
        self._closed = False

    def start(self) -> None:
        """Start the first thread.

        Raises:
            RuntimeError: no thread can start.
        """
        self.submit(int).result()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a free thread or a new one, or once a thread becomes free.

        Raises:
            RuntimeError: the pool is shut down, or it has no thread and none can start.
        """
        future: Future[T] = Future()
        call = future, partial(function, *args, **kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool of threads is shut down")
            if self._free:
                self._free.pop().put(call)
                return future
            self._waiting.append(call)
            if len(self._threads) < self._size:
                self._start_thread()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Python's signature
        """Take no further calls; end the threads once they have run those that wait.

        Args:
            wait: return after that.
            cancel_futures: cancel the calls that wait.
        """
        with self._lock:
            self._closed = True
            if cancel_futures:
                for future, _ in self._waiting:
                    future.cancel()
                self._waiting.clear()
            while self._free:
                self._free.pop().put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _start_thread(self) -> None:
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                self._waiting.clear()
                raise
            shortage.threads.report(error)
        else:
            self._threads.append(thread)
            shortage.threads.resolve()

    def _work(self) -> None:
        inbox: SimpleQueue[Call | None] = SimpleQueue()
        while (call := self._next(inbox)) is not None:
            _run(*call)
            del call  # what it returned or raised may be large

    def _next(self, inbox: SimpleQueue[Call | None]) -> Call | None:
        """Return the next call, or None if there are no more."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._closed:
                return None
            self._free.append(inbox)
        return inbox.get()


def _run(future: Future[T], function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - whoever waits for the result raises it
        future.set_exception(error)
