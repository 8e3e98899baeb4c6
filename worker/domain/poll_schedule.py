"""When to poll next: often at ages at which many generations end, seldom at others. Pure; times are arguments.

If every poll costs the same and every second of delay costs the same, the best density of polls is proportional to the
square root of the hazard, the rate at which generations of this age end (Keller 1974, "Optimum checking schedules for
systems subject to random failure"). The hazard comes from a histogram of past durations. The number of polls is given:
as many as polling at a fixed interval would take. So the learned schedule polls no more than the fixed
one and notices an end sooner.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.domain.job import Job

BIN_RATIO = 1.05  # between the edges of neighboring bins: durations are known to within a few percent
FIRST_EDGE_S = 0.1
MIN_HISTORY = 20  # durations; below it, the interval is fixed
SMOOTHING = 3  # bins to either side that one duration is spread over, since a few dozen samples are rough
MIN_OBSERVED = 3  # times the p95: a shorter history lacks the long durations, which are still under way
P95 = 0.95
UNKNOWN_P95_INTERVALS = 8  # the p95 in intervals while there is no history
UNKNOWN_GROWTH = 0.5  # of the time for which a status has been shown
SEARCH_STEPS = 40  # of the search for the price of a poll


UNFINISHED_WORDS = frozenset({"accepted", "pending", "scheduled", "started", "submitted", "paused", "delayed"})


def unknown_status_delay(job: Job, status: str, at: float) -> float:
    """Return the minimum seconds until the next poll of a job whose status PhotoGPT does not document.

    A word such as `canceled` may be final: the distance between polls grows with the time for which it has been shown.
    A word that says that work goes on (`moderating`, `in progress`) is polled as usual.
    """
    if status.endswith(("ing", "progress")) or status in UNFINISHED_WORDS:
        return 0.0
    since = job.photogpt_status_since if job.photogpt_status == status else None
    return UNKNOWN_GROWTH * (at - since) if since is not None else 0.0


def bin_of(duration_s: float) -> int:
    """Return the number of the bin of a duration in seconds."""
    return max(0, int(math.log(max(duration_s, FIRST_EDGE_S) / FIRST_EDGE_S) / math.log(BIN_RATIO)) + 1)


def edge(number: int) -> float:
    """Return the lower edge of a bin in seconds; the upper edge is the next bin's lower one."""
    return 0.0 if number == 0 else FIRST_EDGE_S * BIN_RATIO ** (number - 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the delay between two polls."""

    interval_s: float
    floor_s: float
    ceiling_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ages at which to poll, as a cumulative count: a poll is due whenever the count has grown by one."""

    #: Ascending, from 0.
    ages: tuple[float, ...]
    #: The count at each age; beyond the last age, one poll every `interval_s`.
    counts: tuple[float, ...]
    interval_s: float
    #: The age that 95 % of the generations do not exceed; an older job is polled singly, whatever the list shows.
    p95_duration_s: float
    #: Number of durations in the history, and the polls and the delay that are expected per generation.
    learned_from: float = 0.0
    polls: float = 0.0
    delay_s: float = 0.0

    def next_age(self, age: float) -> float:
        """Return the age of the next poll, after a poll (or the trigger) at `age`."""
        return self._age_at(self._count_at(age) + 1.0)

    def _count_at(self, age: float) -> float:
        if age >= self.ages[-1]:
            return self.counts[-1] + (age - self.ages[-1]) / self.interval_s
        index = bisect_right(self.ages, age) - 1
        part = (age - self.ages[index]) / (self.ages[index + 1] - self.ages[index])
        return self.counts[index] + part * (self.counts[index + 1] - self.counts[index])

    def _age_at(self, count: float) -> float:
        if count >= self.counts[-1]:
            return self.ages[-1] + (count - self.counts[-1]) * self.interval_s
        index = bisect_right(self.counts, count) - 1
        part = (count - self.counts[index]) / (self.counts[index + 1] - self.counts[index])
        return self.ages[index] + part * (self.ages[index + 1] - self.ages[index])


def fixed(limits: Limits) -> Schedule:
    """Return the schedule without a history: one poll per interval."""
    interval_s = limits.interval_s
    p95_duration_s = UNKNOWN_P95_INTERVALS * interval_s
    return Schedule(ages=(0.0,), counts=(0.0,), interval_s=interval_s, p95_duration_s=p95_duration_s)


def learn(history: Mapping[int, float], limits: Limits, *, known_for_s: float = math.inf) -> Schedule:
    """Return the schedule for a histogram of durations, or the fixed one while the histogram is too small.

    Args:
        history: weight by bin, see `bin_of`.
        limits: of the delay between two polls.
        known_for_s: seconds since the first duration was recorded.
    """
    total = sum(history.values())
    if total < MIN_HISTORY or known_for_s < MIN_OBSERVED * _quantile(history, P95):
        return fixed(limits)
    edges, weights = _smooth(history)
    hazards, seconds = _hazards(edges, [weight / total for weight in weights])
    densities = _spend(hazards, seconds, sum(seconds) / limits.interval_s, limits)
    counts = [0.0]
    for index, density in enumerate(densities):
        counts.append(counts[-1] + density * (edges[index + 1] - edges[index]))
    return Schedule(
        ages=tuple(edges),
        counts=tuple(counts),
        interval_s=limits.interval_s,
        p95_duration_s=_p95(edges, [weight / total for weight in weights]),
        learned_from=total,
        polls=sum(density * lived for density, lived in zip(densities, seconds, strict=True)),
        delay_s=sum(h * lived / (2 * d) for h, lived, d in zip(hazards, seconds, densities, strict=True)),
    )


def _hazards(edges: list[float], shares: list[float]) -> tuple[list[float], list[float]]:
    """Return for each bin the rate of ends, and the seconds that a generation is expected to spend in it."""
    alive, hazards, seconds = 1.0, [], []
    for index, share in enumerate(shares):
        lived = (alive - share / 2) * (edges[index + 1] - edges[index])
        hazards.append(share / lived if lived > 0 else 0.0)
        seconds.append(max(lived, 0.0))
        alive -= share
    return hazards, seconds


def _p95(edges: list[float], shares: list[float]) -> float:
    """Return the upper edge of the bin in which fewer than 5 % of the generations are left, seconds."""
    alive = 1.0
    for index, share in enumerate(shares):
        alive -= share
        if alive < 1 - P95:
            return edges[index + 1]
    return edges[-1]


def _quantile(history: Mapping[int, float], share: float) -> float:
    """Return the duration in seconds that at least `share` of all did not exceed."""
    left = share * sum(history.values())
    for number in sorted(history):
        left -= history[number]
        if left <= 0:
            return edge(number + 1)
    return edge(max(history) + 1)


def _smooth(history: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """Return bin edges from 0 on, and weights with each duration spread over its neighbor bins."""
    offsets = range(-SMOOTHING, SMOOTHING + 1)
    kernel = [SMOOTHING + 1 - abs(offset) for offset in offsets]
    last = max(history) + SMOOTHING
    weights = [0.0] * (last + 1)
    for number, weight in history.items():
        for offset, share in zip(offsets, kernel, strict=True):
            weights[max(0, number + offset)] += weight * share / sum(kernel)
    return [edge(number) for number in range(last + 2)], weights


def _spend(hazards: list[float], seconds: list[float], budget: float, limits: Limits) -> list[float]:
    """Return the density of polls in each bin: proportional to the root of the hazard, within limits and budget."""
    lowest, highest = 1 / limits.ceiling_s, 1 / limits.floor_s

    def densities(scale: float) -> list[float]:
        return [min(highest, max(lowest, scale * math.sqrt(hazard))) for hazard in hazards]

    low, high = 0.0, highest / min((math.sqrt(hazard) for hazard in hazards if hazard > 0), default=1.0)
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        spent = sum(density * lived for density, lived in zip(densities(middle), seconds, strict=True))
        low, high = (middle, high) if spent < budget else (low, middle)
    return densities(low)
