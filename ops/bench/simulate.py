"""The scheduling code on a clock of its own: trainings for the noticing lag, a million for what breaks first.

    .venv/bin/python -m ops.bench.simulate

`Schedule` and `reach` are the worker's own. Looks, pages and Redis commands are counted; what each costs was measured
elsewhere and stands in `COSTS`, so that the last columns are arithmetic, not a measurement.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from ops.bench.figures import spread
from ops.bench.fixed import compare
from ops.bench.machine import load
from ops.bench.plan import Plan, Run
from worker.domain.backoff import jittered
from worker.domain.list_poll import SETTLED, ListPollState, choose_window, list_interval, sample_every
from worker.domain.poll_schedule import Limits, Schedule, bin_of, learn
from worker.steps.poll import JITTER
from worker.store.list_poll import SAMPLE_SIZE

Law = Callable[[random.Random], float]
IMAGES = Limits(interval_s=5, floor_s=1, ceiling_s=15)
TRAININGS = Limits(interval_s=300, floor_s=60, ceiling_s=900)
COSTS = {"trigger": 3.0, "look": 1.0, "page": 2.0, "end": 1.5}
"""Processor milliseconds of one worker, from `make bench` on two shared cores: rounded up."""
COMMANDS = {"trigger": 5, "look": 2, "page": 1, "end": 1}
"""Scripts and commands that Redis runs: accept, intend, submitted and the message; claim and put back, shared by a
batch; a page; an end with its result."""
FEW = 20  # trainings from which a schedule is learned
AT_ONCE = 4  # pages under way at once, per worker process: worker/steps/list_poll.py
PAGE_S = 0.01  # of one page at PhotoGPT's side, round trip included


def lognormal(median: float, sigma: float) -> Law:
    """Return a law of durations, seconds."""
    return lambda dice: median * math.exp(dice.gauss(0, sigma))


def learned(law: Law, limits: Limits, jobs: int, dice: random.Random) -> Schedule:
    """Return the schedule that so many durations teach."""
    return learn(Counter(bin_of(law(dice)) for _ in range(jobs)), limits)


def noticed(schedule: Schedule, duration: float, dice: random.Random, *, age: float = 0.0) -> tuple[float, int]:
    """Return the age at which an end is noticed by single looks from `age` on, and how many there were."""
    looks = 0
    while age < duration or not looks:
        age += jittered(schedule.next_age(age) - age, spread=JITTER, random_fraction=dice.random())
        looks += 1
    return age, looks


def trainings(plan: Plan) -> list[Run]:
    """Compare the learned schedule with looks at a fixed interval that ask as often; for `measures/sooner.py`."""
    dice, law = random.Random(plan.seed), _minutes(20, 25)
    schedule = learned(law, TRAININGS, FEW, dice)
    durations = [law(dice) for _ in range(20_000)]
    seen = [noticed(schedule, duration, dice) for duration in durations]
    lags = [age - duration for (age, _), duration in zip(seen, durations, strict=True)]
    per_job = sum(looks for _, looks in seen) / len(seen)
    return compare(durations, lags, per_job, load(), kind="training", learned_from=FEW, simulated=True)


def _minutes(low: float, high: float) -> Law:
    return lambda dice: dice.uniform(60 * low, 60 * high)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What so many jobs in flight ask for in a second."""

    in_flight: int
    ends_per_s: float
    looks_per_s: float
    pages_per_s: float
    sweep_s: float
    lag_mean_s: float
    lag_p99_s: float

    @property
    def requests_per_s(self) -> float:
        """Of PhotoGPT: triggers, looks and pages."""
        return self.ends_per_s + self.looks_per_s + self.pages_per_s

    @property
    def commands_per_s(self) -> float:
        """Of Redis."""
        return self._sum(COMMANDS)

    @property
    def cores(self) -> float:
        """Of worker processes."""
        return self._sum(COSTS) / 1000

    def _sum(self, each: dict[str, float] | dict[str, int]) -> float:
        ends, looks, pages = self.ends_per_s, self.looks_per_s, self.pages_per_s
        return ends * (each["trigger"] + each["end"]) + looks * each["look"] + pages * each["page"]


def crowd(in_flight: int, law: Law, *, page_size: int, processes: int, seed: int = 1) -> Crowd:
    """Follow every job of a crowd that is always as large, from its trigger to the look that shows its end."""
    dice = random.Random(seed)
    schedule = learned(law, IMAGES, 2000, dice)
    durations = [law(dice) for _ in range(in_flight)]
    mean = sum(durations) / in_flight
    begun_per_s = in_flight / mean
    known = replace(ListPollState(id="jobs"), page_size=float(page_size), density=begun_per_s, confirmed=SETTLED)
    ages = [dice.random() * chosen for chosen in dice.choices(durations, weights=durations, k=SAMPLE_SIZE)]
    far = choose_window(ages, in_flight, known) or 0.0
    pages = math.ceil(begun_per_s * far / page_size) if far else 0
    sweep_s = pages * max(PAGE_S / AT_ONCE, COSTS["page"] / 1000) / processes
    period = max(list_interval(pages, in_flight, known, IMAGES), sweep_s)
    one_in = sample_every(known, in_flight)
    looks, lags = 0, []
    for duration in durations:
        if duration < far and dice.random() > 1 / one_in:
            age, count = duration + dice.random() * period, 1
        else:
            age, count = noticed(schedule, duration, dice, age=min(far, duration))
        looks += count
        lags.append(age - duration)
    found = spread(lags)
    return Crowd(
        in_flight=in_flight,
        ends_per_s=begun_per_s,
        looks_per_s=begun_per_s * looks / in_flight,
        pages_per_s=pages / period,
        sweep_s=sweep_s,
        lag_mean_s=found["mean"],
        lag_p99_s=found["p99"],
    )


def main() -> None:
    """Print what crowds of a thousand to a million ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--median", type=float, default=1200.0, help="seconds that a generation takes, lognormal")
    parser.add_argument("--sigma", type=float, default=0.4)
    parser.add_argument("--page-size", type=int, default=50)
    parser.add_argument("--processes", type=int, default=4, help="worker processes that share the pages")
    asked = parser.parse_args()
    print("| in flight | ends/s | requests/s | pages/s | a sweep, s | lag mean, p99, s | Redis/s | worker cores |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for in_flight in (1_000, 10_000, 100_000, 1_000_000):
        law = lognormal(asked.median, asked.sigma)
        seen = crowd(in_flight, law, page_size=asked.page_size, processes=asked.processes)
        lag = f"{seen.lag_mean_s:.1f}, {seen.lag_p99_s:.1f}"
        print(
            f"| {in_flight:,} | {seen.ends_per_s:.1f} | {seen.requests_per_s:,.0f} | {seen.pages_per_s:,.0f} "
            f"| {seen.sweep_s:.1f} | {lag} | {seen.commands_per_s:,.0f} | {seen.cores:.2f} |"
        )


if __name__ == "__main__":
    main()
