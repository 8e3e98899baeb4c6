"""What a worker does when the system gives it no more threads or open files."""

from __future__ import annotations

import errno
import threading

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import Settings
from tests.waiting import wait_until
from worker.queue import limits
from worker.telemetry.shortage import GrowingExecutor, is_shortage


def caused_by(error: Exception) -> Exception:
    """Return an error as a library raises it because of another one."""
    outer = RedisConnectionError("cannot connect")
    outer.__cause__ = error
    return outer


SHORTAGES: dict[str, tuple[Exception, bool]] = {
    "open files": (OSError(errno.EMFILE, "Too many open files"), True),
    "the machine's files": (OSError(errno.ENFILE, "File table overflow"), True),
    "memory": (MemoryError(), True),
    "threads": (RuntimeError("can't start new thread"), True),
    "behind another error": (caused_by(OSError(errno.EMFILE, "Too many open files")), True),
    "a refused connection": (caused_by(OSError(errno.ECONNREFUSED, "refused")), False),
    "any other fault": (RuntimeError("dictionary changed size during iteration"), False),
    "recursion": (RecursionError("maximum recursion depth exceeded"), False),
}


@pytest.mark.parametrize(("error", "expected"), SHORTAGES.values(), ids=SHORTAGES)
def test_shortages(error: Exception, expected: bool) -> None:
    """Errors that say that threads, files or memory have run out are distinguished from all others."""
    assert is_shortage(error) is expected


def test_a_pool_goes_on_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no further thread can start, a pool runs every call once in the threads it has."""
    pool, ran = GrowingExecutor(8), list[int]()
    pool.start()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for number in range(20):
            pool.submit(ran.append, number)
    wait_until(lambda: len(ran) == 20, "every call has run")
    assert sorted(ran) == list(range(20))
    pool.shutdown()


def test_a_pool_without_threads_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that cannot start its first thread raises."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        GrowingExecutor(8).start()


@pytest.mark.parametrize(("files", "calls"), [(1024, 32), (256, 28), (64, 4), (32, 1)])
def test_calls_fit_the_open_files(monkeypatch: pytest.MonkeyPatch, files: int, calls: int) -> None:
    """A worker makes fewer calls at a time where it may open few files."""
    monkeypatch.setattr(limits, "raised_limit", lambda: files)
    assert limits.fit_open_files(Settings.model_construct(call_concurrency=32)).call_concurrency == calls
