"""Jobs as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from worker.cli.output import clock, seconds_between, state
from worker.domain.outcome import Outcome
from worker.domain.times import rfc3339

COLUMNS = {"job": 36, "kind": 8, "state": 9, "seconds": 7, "looks": 5}
NUMBERS = {"seconds", "looks"}
WIDE = 110
"""Columns of the screen from which on there is room for more than that."""


def jobs_table(outcomes: Iterable[Outcome], *, now: float, width: int) -> Table:
    """Return a table of jobs.

    Args:
        outcomes: so far or final.
        now: Redis' time, epoch seconds.
        width: of the screen, which decides on columns.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, least in COLUMNS.items():
        table.add_column(title, no_wrap=True, min_width=least, justify="right" if title in NUMBERS else "left")
    if width >= WIDE:
        table.add_column("created", no_wrap=True, min_width=8)
        table.add_column("what is known", overflow="ellipsis", no_wrap=True)
    for outcome in outcomes:
        table.add_row(*_row(outcome, now)[: len(table.columns)])
    return table


def _row(outcome: Outcome, now: float) -> tuple[RenderableType, ...]:
    took = seconds_between(outcome["created_at"], outcome["finished_at"] or rfc3339(now))
    return (
        escape(outcome["id"]),
        outcome["kind"],
        state(outcome["state"]),
        f"{took:.1f}" if took is not None else "",
        str(outcome["polls"]),
        clock(outcome["created_at"]),
        escape(known(outcome)),
    )


def known(outcome: Outcome) -> str:
    """Return the one thing most worth knowing of a job."""
    if outcome["reason"]:
        return f"{outcome['reason']}: {outcome['error'] or ''}"
    records = outcome["images"] or outcome["videos"]
    if records:
        more = f" and {len(records) - 1} more" if len(records) > 1 else ""
        return f"{records[0].get('url')}{more}"
    return str(outcome["generation_id"] or outcome["model_id"] or "")
