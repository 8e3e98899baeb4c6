"""Looks at a fixed interval, by arithmetic."""

from __future__ import annotations

import math


def fixed(durations: list[float], interval: float) -> tuple[float, float]:
    """Return looks for each job and mean lag, where looks follow the trigger every `interval` seconds."""
    looks = [max(1, math.ceil(duration / interval)) for duration in durations]
    lags = [count * interval - duration for count, duration in zip(looks, durations, strict=True)]
    return sum(looks) / len(looks), sum(lags) / len(lags)


def equal_looks(durations: list[float], looks: float) -> tuple[float, float]:
    """Return the interval at which as many looks are made for each job, and its mean lag."""
    low, high = min(durations) / 1000 + 1e-6, max(durations) + 1e-6
    for _ in range(60):
        middle = (low + high) / 2
        if fixed(durations, middle)[0] > looks:
            low = middle
        else:
            high = middle
    return high, fixed(durations, high)[1]
