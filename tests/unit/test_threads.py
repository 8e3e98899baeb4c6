"""The pool of threads: which thread runs a call, results, shortages and shutdown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import NoReturn

import pytest

from tests.waiting import wait_until
from worker.threads import LifoExecutor

SIZE = 8


@pytest.fixture
def pool() -> Iterator[LifoExecutor]:
    """A pool that is shut down after the test."""
    made = LifoExecutor(SIZE, name="test")
    yield made
    made.shutdown()


def refuse(_: threading.Thread) -> NoReturn:
    """Fail as a system that has no more threads."""
    raise RuntimeError("can't start new thread")


def thread_name() -> str:
    """Return the name of the thread that runs this."""
    return threading.current_thread().name


def test_one_call_at_a_time_stays_in_few_threads(pool: LifoExecutor) -> None:
    """Calls that follow one another run in the thread that became free last; Python's pool would take turns."""
    together = threading.Barrier(SIZE)
    for future in [pool.submit(together.wait, 20) for _ in range(SIZE)]:
        future.result(20)
    assert len({pool.submit(thread_name).result(20) for _ in range(10 * SIZE)}) < SIZE / 2


def test_calls_run_at_the_same_time_up_to_the_size(pool: LifoExecutor) -> None:
    """As many calls run at the same time as there may be threads; a further one runs once a thread is free."""
    together, go_on = threading.Barrier(SIZE + 1), threading.Event()

    def meet() -> bool:
        together.wait(20)
        return go_on.wait(20)

    first = [pool.submit(meet) for _ in range(SIZE)]
    together.wait(20)
    later = pool.submit(thread_name)
    assert not later.done()
    go_on.set()
    assert all(future.result(20) for future in first)
    assert later.result(20).startswith("test_")


def test_an_error_reaches_its_caller_only(pool: LifoExecutor) -> None:
    """A call that raises gives its error to the one who waits for it; its thread runs further calls."""
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(20)
    assert list(pool.map(lambda number: number + 1, range(3))) == [1, 2, 3]


def test_shutdown_runs_what_waits(pool: LifoExecutor) -> None:
    """A pool that is shut down runs the calls that wait, and refuses further ones."""
    ran: list[int] = []
    for number in range(50):
        pool.submit(ran.append, number)
    pool.shutdown()
    assert sorted(ran) == list(range(50))
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(ran.append, 50)


def test_shutdown_cancels_what_waits() -> None:
    """With `cancel_futures`, calls that wait are canceled, and the call in progress ends."""
    pool, begun, go_on = LifoExecutor(1), threading.Barrier(2), threading.Event()
    running = pool.submit(lambda: begun.wait(20) + go_on.wait(20))
    begun.wait(20)
    waiting = pool.submit(int)
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    assert running.result(20)
    with pytest.raises(CancelledError):
        waiting.result(20)


def test_a_pool_goes_on_with_its_threads(pool: LifoExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no further thread can start, a pool runs every call once in the threads it has."""
    ran = list[int]()
    pool.start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for number in range(20):
            pool.submit(ran.append, number)
    wait_until(lambda: len(ran) == 20, "every call has run")
    assert sorted(ran) == list(range(20))


def test_a_pool_without_threads_raises(pool: LifoExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that cannot start its first thread raises, and works once one can start."""
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            pool.start()
    pool.start()
