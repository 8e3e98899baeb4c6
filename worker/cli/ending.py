"""How a run ends: by Ctrl-C, by SIGTERM, or because its terminal was closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from worker.cli.machine import Machine

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_in_order(machine: Machine, out: Console) -> Iterator[None]:
    """Stop the machine when the block ends, however it ends. One signal ends the block, a second one kills."""

    def impatient(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        machine.kill()

    def first(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        for number in ENDING:
            signal.signal(number, impatient)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, first) for number in ENDING}
    try:
        yield
    except KeyboardInterrupt:
        out.print("\n[bright_black]stopping: what workers hold is finished first; Ctrl-C again ends it at once[/]")
    finally:
        for number in ENDING:
            signal.signal(number, impatient)
        machine.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
