"""Averages and percentiles."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed, or 0 for no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def spread(values: list[float]) -> dict[str, float]:
    """Return mean, median, p95, p99 and the number of values."""
    return {
        "mean": round(statistics.fmean(values), 4) if values else 0.0,
        "p50": round(percentile(values, 0.5), 4),
        "p95": round(percentile(values, 0.95), 4),
        "p99": round(percentile(values, 0.99), 4),
        "count": len(values),
    }
