"""Table rows: the median of each design, and the ratio of ours to another."""

from __future__ import annotations

import statistics
from typing import Any

from ops.bench.plan import Row, Run

OURS = "ours"


def medians(  # noqa: PLR0913 - one row
    runs: list[Run], what: str, number: str, *, against: str = "obvious", target: str = "", digits: int = 1
) -> Row:
    """Return the row of one number, given by its dotted path in the numbers of a run."""
    middle = middle_of(runs, number)
    cells = {peer: f"{value:,.{digits}f}" for peer, value in middle.items()}
    known = OURS in middle and middle.get(against)
    return Row(what=what, cells=cells, ratio=middle[OURS] / middle[against] if known else None, target=target)


def middle_of(runs: list[Run], number: str) -> dict[str, float]:
    """Return the median of one number by peer, given by its dotted path in the numbers of a run."""
    by_peer: dict[str, list[float]] = {}
    for run in runs:
        value = _value_at(run.numbers, number)
        if value is not None:
            by_peer.setdefault(run.peer, []).append(float(value))
    return {peer: statistics.median(values) for peer, values in by_peer.items()}


def _value_at(numbers: dict[str, Any], path: str) -> Any:
    found: Any = numbers
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
