"""Looks at a fixed interval, by arithmetic, beside those of a schedule that asks as often."""

from __future__ import annotations

import math

from ops.bench.figures import spread
from ops.bench.plan import Numbers, Run


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


def compare(
    durations: list[float], lags: list[float], per_job: float, before: list[float], **parameters: object
) -> list[Run]:
    """Return our run, with so many requests a job after its trigger, and that of a fixed interval with as many."""
    interval, mean = equal_looks(durations, per_job)
    asked = {"looks_per_job": round(per_job, 3)}
    runs: dict[str, Numbers] = {
        "ours": asked | {"lag_mean_s": spread(lags)["mean"], "lag_s": spread(lags)},
        "fixed": asked | {"lag_mean_s": round(mean, 3), "interval_s": round(interval, 2)},
    }
    told = {"jobs": len(durations)} | parameters
    return [
        Run(measure="sooner", peer=peer, numbers=numbers, parameters=told, load_before=before)
        for peer, numbers in runs.items()
    ]
