"""What counts as a shortage of threads, files or memory, and how a worker fits its limit of open files."""

from __future__ import annotations

import errno

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import Settings
from worker.queue import limits
from worker.telemetry.shortage import is_shortage


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


@pytest.mark.parametrize(("files", "calls"), [(1024, 32), (256, 28), (64, 4), (32, 1)])
def test_calls_fit_the_open_files(monkeypatch: pytest.MonkeyPatch, files: int, calls: int) -> None:
    """A worker makes fewer calls at a time where it may open few files."""
    monkeypatch.setattr(limits, "raised_limit", lambda: files)
    assert limits.fit_open_files(Settings.model_construct(call_concurrency=32)).call_concurrency == calls
