"""Processes that make up one running service: started in order, restarted when one dies, ended in reverse."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from worker.cli.processes import Child
from worker.domain.backoff import exponential

FIRST_S, MAX_S = 0.5, 30.0
"""Between the death of a part and its next start."""

STEADY_S = 60.0
"""A part that ran for this long has not died in a row."""


class Stage(IntEnum):
    """The order of starting; ending goes the other way."""

    REDIS = 1
    SANDBOX = 2
    WORKERS = 3
    FLOWER = 4


@dataclass(kw_only=True)
class Part:
    """One process, and how it is started again."""

    name: str
    stage: Stage
    start: Callable[[], Child]
    child: Child
    started: float = field(default_factory=time.monotonic)
    #: Deaths in a row.
    deaths: int = 0
    #: When it starts again, if it is dead.
    due: float | None = None


class Machine:
    """The parts that run. All methods belong to the main thread: a child dies with the thread that started it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Tell people through `say` when a part dies, and what follows."""
        self._say = say
        self._parts: list[Part] = []

    def add(self, name: str, stage: Stage, start: Callable[[], Child]) -> Child:
        """Start a part, and look after it from now on."""
        child = start()
        self._parts.append(Part(name=name, stage=stage, start=start, child=child))
        return child

    def child(self, name: str) -> Child:
        """Return the process that runs as this part at the moment."""
        return next(part.child for part in self._parts if part.name == name)

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {part.name: part.child.pid for part in self._parts}

    def mind(self) -> None:
        """Notice what died and start it again, a little later each time."""
        now = time.monotonic()
        for part in self._parts:
            if part.due is not None:
                if now >= part.due:
                    self._start_again(part)
            elif part.child.ended is not None:
                self._plan(part, now)

    def stop(self) -> None:
        """End everything, the last started first; parts of one stage together. A second call finds nothing to do."""
        for stage in sorted(Stage, reverse=True):
            parts = [part for part in self._parts if part.stage is stage]
            for part in parts:
                part.child.tell(signal.SIGTERM)
            for part in parts:
                part.child.stop()
        self._parts.clear()

    def kill(self) -> None:
        """End everything at once: somebody lost patience. `stop` collects what is left."""
        for part in self._parts:
            part.child.tell(signal.SIGKILL)

    def _plan(self, part: Part, now: float) -> None:
        part.deaths = 1 if now - part.started > STEADY_S else part.deaths + 1
        wait = exponential(part.deaths, base=FIRST_S, cap=MAX_S, random_fraction=1)
        part.due = now + wait
        log = f"; its log is {part.child.log}" if part.child.log else ""
        self._say(f"{part.name} {_how(part.child.ended)}; it starts again in {wait:g} s{log}")

    def _start_again(self, part: Part) -> None:
        part.started, part.due = time.monotonic(), None
        try:
            part.child = part.start()
        except (OSError, RuntimeError) as error:
            self._say(f"{part.name} does not start: {error}")
            self._plan(part, part.started)
        else:
            self._say(f"{part.name} runs again, process {part.child.pid}")


def _how(code: int | None) -> str:
    if code is None:
        return "did not start"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
