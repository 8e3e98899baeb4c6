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
def stop_at_end(supervisor: Supervisor, out: Console) -> Iterator[None]:
    """Stop every process when the block ends. The first signal ends the block; a second signal kills."""

    def on_second(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        supervisor.kill()

    def on_first(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        for number in SIGNALS:
            signal.signal(number, on_second)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, on_first) for number in SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        out.print("\n[bright_black]stopping: workers finish the calls in progress; Ctrl-C again kills them[/]")
    finally:
        for number in SIGNALS:
            signal.signal(number, on_second)
        supervisor.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
