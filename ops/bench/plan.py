"""What is asked of a benchmark, and one run of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Numbers = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that can be chosen; the same for all designs."""

    folder: Path
    #: Jobs that are enqueued at once.
    jobs: int = 1000
    #: How often each design runs, in turn with the others; medians are shown.
    repeats: int = 3
    #: Seconds between two looks, where the design is told one.
    interval: float = 5.0
    #: The law of an image's duration, as the sandbox takes it.
    duration: str = "lognormal:25:0.4"
    #: Whether every generation fails.
    failing: bool = False
    #: Entries on a page of GET /jobs.
    page_size: int = 50
    seed: int = 1
    #: Jobs in flight, from rung to rung, by design.
    ladder: dict[str, tuple[int, ...]] = field(default_factory=dict)
    #: Generations that end while a rung is measured, and in how many seconds.
    endings: int = 300
    window_s: float = 20.0
    #: Jobs that wait while memory is read.
    parked: int = 10_000
    #: Seconds of looking as fast as it goes.
    looking_s: float = 10.0
    #: Jobs whose noticing is measured while few are in flight.
    few: int = 120
    #: Seconds after which a run is given up.
    limit_s: float = 240.0
    peers: tuple[str, ...] = ()
    #: Worker processes of ours.
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one design, as it stands in the file of raw numbers."""

    measure: str
    peer: str
    numbers: Numbers
    parameters: Numbers = field(default_factory=dict)
    load_before: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    what: str
    #: By peer, what came out, as text.
    cells: dict[str, str]
    #: Ours by the peer that it is compared with.
    ratio: float | None = None
    target: str = ""


Steps = list[tuple[str, Callable[[], list[Run]]]]
"""What there is to do, in order, each with a line that says so."""


class Measure(Protocol):
    """One question: a module of `measures`."""

    #: What it is called with `--only`.
    NAME: str
    #: How its numbers are computed, for the reader of the table.
    TEXT: str

    def steps(self, plan: Plan) -> Steps:
        """Return what there is to do."""

    def rows(self, runs: list[Run]) -> list[Row]:
        """Return the rows of the table, from this measure's runs."""
