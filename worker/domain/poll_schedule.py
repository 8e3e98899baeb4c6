"""When to look next: often where an end is likely, seldom where it is not. Pure; times are arguments.

For looks that cost alike and delay that costs alike, the density of looks that delays least is proportional to the
square root of the hazard: of the rate at which generations of this age end (Keller 1974, "Optimum checking schedules
for systems subject to random failure"). The hazard is read from a histogram of past durations; how many looks are spent
is set beforehand: as many as looking at a fixed interval would take, times an effort. So the learned schedule asks no
more than the fixed one and notices sooner.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

RATIO = 1.05  # between the edges of two neighbouring bins: durations are known to within some per cent
MIN_S = 0.1  # the first edge
MIN_HISTORY = 20  # durations; below it, intervals are fixed
SPREAD = 3  # bins to either side over which one duration is smoothed: a few dozen samples make no smooth law
RIPE = 3  # times the duration that nearly all stay below: a younger history has missed the long ones
PATIENT = 0.95  # of all durations
EARLY, EARLY_PART = 0.005, 0.7  # before this part of the duration that so few stay below, nobody expects an end
PATIENT_INTERVALS = 12  # the same, in intervals, where nothing is known
FINEST = 40  # halvings of the search for the price of a look


def bin_of(duration_s: float) -> int:
    """Return the number of the bin that a duration falls into."""
    return max(0, int(math.log(max(duration_s, MIN_S) / MIN_S) / math.log(RATIO)) + 1)


def edge(number: int) -> float:
    """Return the lower edge of a bin, seconds; the upper one is the next bin's."""
    return 0.0 if number == 0 else MIN_S * RATIO ** (number - 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Between what the gap of two looks stays, and what a schedule may cost."""

    interval_s: float
    floor_s: float
    ceiling_s: float
    #: Looks spent, as a multiple of those at the fixed interval.
    effort: float = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ages at which to look, as a running count: a look is due whenever the count has grown by one."""

    #: Ascending, from 0.
    ages: tuple[float, ...]
    #: The count at each age; beyond the last one, one look every `interval_s`.
    counts: tuple[float, ...]
    interval_s: float
    #: The age by which nearly all have ended: whoever is older gets a look of its own, whatever a list says.
    p95_duration_s: float
    #: The age before which none has ended yet, give or take; 0 if that is not known.
    min_duration_s: float = 0.0
    #: Durations it was learned from, and the looks and the delay that it expects.
    learned_from: float = 0.0
    looks: float = 0.0
    delay_s: float = 0.0

    def next_age(self, age: float) -> float:
        """Return the age at which to look next, after a look (or the trigger) at `age`."""
        return self._age_at(self._count_at(age) + 1.0)

    def _count_at(self, age: float) -> float:
        if age >= self.ages[-1]:
            return self.counts[-1] + (age - self.ages[-1]) / self.interval_s
        place = bisect_right(self.ages, age) - 1
        part = (age - self.ages[place]) / (self.ages[place + 1] - self.ages[place])
        return self.counts[place] + part * (self.counts[place + 1] - self.counts[place])

    def _age_at(self, count: float) -> float:
        if count >= self.counts[-1]:
            return self.ages[-1] + (count - self.counts[-1]) * self.interval_s
        place = bisect_right(self.counts, count) - 1
        part = (count - self.counts[place]) / (self.counts[place + 1] - self.counts[place])
        return self.ages[place] + part * (self.ages[place + 1] - self.ages[place])


def fixed(limits: Limits) -> Schedule:
    """Return the schedule of those who know nothing yet."""
    return Schedule(
        ages=(0.0,), counts=(0.0,), interval_s=limits.interval_s, p95_duration_s=PATIENT_INTERVALS * limits.interval_s
    )


def learn(history: Mapping[int, float], limits: Limits, *, known_for_s: float = math.inf) -> Schedule:
    """Return the schedule that a histogram of durations calls for; the fixed one if it does not say enough.

    Args:
        history: weight by bin, see `bin_of`.
        limits: of its gaps, and of what it may cost.
        known_for_s: seconds since the first duration was seen. In a young history the long ones are missing: they are
            still under way.
    """
    total = sum(history.values())
    if total < MIN_HISTORY or known_for_s < RIPE * _quantile(history, PATIENT):
        return fixed(limits)
    edges, weights = _smooth(history)
    alive, p95_duration_s, hazards, seconds = 1.0, edges[-1], [], []
    for place, weight in enumerate(weights):
        share = weight / total
        lived = (alive - share / 2) * (edges[place + 1] - edges[place])  # expected seconds within this bin
        hazards.append(share / lived if lived > 0 else 0.0)
        seconds.append(max(lived, 0.0))
        alive -= share
        if alive < 1 - PATIENT:
            p95_duration_s = min(p95_duration_s, edges[place + 1])
    budget = limits.effort * sum(seconds) / limits.interval_s
    densities = _spend(hazards, seconds, budget, limits)
    counts = [0.0]
    for place, density in enumerate(densities):
        counts.append(counts[-1] + density * (edges[place + 1] - edges[place]))
    return Schedule(
        ages=tuple(edges),
        counts=tuple(counts),
        interval_s=limits.interval_s,
        p95_duration_s=p95_duration_s,
        min_duration_s=EARLY_PART * _quantile(history, EARLY),
        learned_from=total,
        looks=sum(density * lived for density, lived in zip(densities, seconds, strict=True)),
        delay_s=sum(h * lived / (2 * d) for h, lived, d in zip(hazards, seconds, densities, strict=True)),
    )


def _quantile(history: Mapping[int, float], share: float) -> float:
    """Return the duration, seconds, that at least `share` of all did not exceed."""
    left = share * sum(history.values())
    for number in sorted(history):
        left -= history[number]
        if left <= 0:
            return edge(number + 1)
    return edge(max(history) + 1)


def _smooth(history: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """Return bin edges from 0 on, and weights; each duration spread over its neighbours."""
    kernel = [SPREAD + 1 - abs(offset) for offset in range(-SPREAD, SPREAD + 1)]
    last = max(history) + SPREAD
    weights = [0.0] * (last + 1)
    for number, weight in history.items():
        for offset, share in zip(range(-SPREAD, SPREAD + 1), kernel, strict=True):
            weights[max(0, number + offset)] += weight * share / sum(kernel)
    return [edge(number) for number in range(last + 2)], weights


def _spend(hazards: list[float], seconds: list[float], budget: float, limits: Limits) -> list[float]:
    """Return the density of looks in each bin: proportional to the root of the hazard, within limits and budget."""
    least, most = 1 / limits.ceiling_s, 1 / limits.floor_s

    def densities(scale: float) -> list[float]:
        return [min(most, max(least, scale * math.sqrt(hazard))) for hazard in hazards]

    low, high = 0.0, most / min((math.sqrt(hazard) for hazard in hazards if hazard > 0), default=1.0)
    for _ in range(FINEST):
        middle = (low + high) / 2
        spent = sum(density * lived for density, lived in zip(densities(middle), seconds, strict=True))
        low, high = (middle, high) if spent < budget else (low, middle)
    return densities(low)
