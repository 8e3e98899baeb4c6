"""Ends a local service on Ctrl-C, on SIGTERM, or when its terminal is closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from worker.cli.local.supervisor import Supervisor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_handled(supervisor: Supervisor) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at the first signal; a second signal kills every process."""

    def on_second(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        supervisor.kill()

    def on_first(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        for number in SIGNALS:
            signal.signal(number, on_second)
        supervisor.interrupt()

    before = {number: signal.signal(number, on_first) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_at_end(supervisor: Supervisor, out: Console) -> Iterator[None]:
    """Stop every process when the block ends, whether it ends normally, by an error or by a signal."""
    try:
        yield
        supervisor.stop()
    except KeyboardInterrupt:
        out.print("\n[bright_black]stopping: workers finish the calls in progress; Ctrl-C again kills them[/]")
    finally:
        supervisor.stop()
