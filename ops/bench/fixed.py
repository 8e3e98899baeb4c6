"""A calculated poller with a fixed interval, to compare with a schedule of as many polls."""

from __future__ import annotations

import math

from ops.bench.figures import spread
from ops.bench.plan import Numbers, Run


def fixed(durations: list[float], interval: float) -> tuple[float, float]:
    """Return polls per job and mean delay of polling every `interval` seconds after the trigger."""
    polls = [max(1, math.ceil(duration / interval)) for duration in durations]
    delays = [count * interval - duration for count, duration in zip(polls, durations, strict=True)]
    return sum(polls) / len(polls), sum(delays) / len(delays)


def equal_polls(durations: list[float], polls: float) -> tuple[float, float]:
    """Return the fixed interval that makes this many polls per job, and its mean delay."""
    low, high = min(durations) / 1000 + 1e-6, max(durations) + 1e-6
    for _ in range(60):
        middle = (low + high) / 2
        if fixed(durations, middle)[0] > polls:
            low = middle
        else:
            high = middle
    return high, fixed(durations, high)[1]


def compare(
    durations: list[float], delays: list[float], per_job: float, before: list[float], **parameters: object
) -> list[Run]:
    """Return our run, with `per_job` requests after each trigger, and the run of a fixed interval with as many."""
    interval, mean = equal_polls(durations, per_job)
    polls = {"polls_per_job": round(per_job, 3)}
    runs: dict[str, Numbers] = {
        "ours": polls | {"delay_mean_s": spread(delays)["mean"], "delay_s": spread(delays)},
        "fixed": polls | {"delay_mean_s": round(mean, 3), "interval_s": round(interval, 2)},
    }
    settings = {"jobs": len(durations)} | parameters
    return [
        Run(measure="schedule", peer=peer, numbers=numbers, parameters=settings, load_before=before)
        for peer, numbers in runs.items()
    ]
