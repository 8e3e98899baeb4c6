"""The plan of a benchmark, its runs, and the rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Numbers = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All parameters; the same for all designs."""

    folder: Path
    #: Jobs that are enqueued at once.
    jobs: int = 1000
    #: Jobs that are enqueued at once, one run after the other (delay).
    at_once: tuple[int, ...] = (1, 5, 40, 1000)
    #: Runs of each design, alternating with the others; the table shows medians.
    repeats: int = 3
    #: Seconds between two polls.
    interval: float = 5.0
    #: The distribution of an image's duration, in the sandbox's notation.
    duration: str = "lognormal:25:0.4"
    #: Whether every generation fails.
    failing: bool = False
    #: Entries on a page of GET /jobs.
    page_size: int = 50
    #: Requests a second that the API answers, with 429 and `Retry-After: 1` beyond; 0 for no limit.
    rate_limit: float = 0.0
    seed: int = 1
    #: Jobs in flight on each rung, by design.
    ladder: dict[str, tuple[int, ...]] = field(default_factory=dict)
    #: Generations that end while a rung is measured, and the seconds over which their ends are spread.
    endings: int = 300
    window_s: float = 20.0
    #: Jobs that wait while memory is read.
    waiting: int = 10_000
    #: Seconds of polling as fast as possible.
    polling_s: float = 10.0
    #: Jobs whose delay is measured while few are in flight.
    few: int = 120
    #: Seconds after which a run is aborted.
    limit_s: float = 240.0
    peers: tuple[str, ...] = ()
    #: Worker processes of ours.
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one design, as the file of raw numbers holds it."""

    measure: str
    peer: str
    numbers: Numbers
    parameters: Numbers = field(default_factory=dict)
    load_before: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    what: str
    #: The results as text, by peer.
    cells: dict[str, str]
    #: Our number divided by that of the compared peer.
    ratio: float | None = None
    target: str = ""


Steps = list[tuple[str, Callable[[], list[Run]]]]
"""Runs in order, each with a line that describes it."""


class Measure(Protocol):
    """The interface of a module of `measures`."""

    #: The name for `--only`.
    NAME: str
    #: How its numbers are computed, printed below the table.
    TEXT: str

    def steps(self, plan: Plan) -> Steps:
        """Return the runs."""

    def rows(self, runs: list[Run]) -> list[Row]:
        """Return the rows of the table, from this measure's runs."""
