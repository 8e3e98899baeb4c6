"""The worker's scheduling code on a simulated clock: the delay of trainings, and the demand of a million jobs.

    python -m ops.bench.simulate

`Schedule` and `choose_window` are the worker's own. Polls, pages and Redis commands are counted; their costs in `COSTS`
were measured separately, so the last columns are calculated, not measured.
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
from worker.domain.list_poll import SAMPLE_EVERY, ListPollState, choose_window, list_interval
from worker.domain.poll_schedule import Limits, Schedule, bin_of, learn
from worker.steps.list_poll import PARALLEL_SLICES
from worker.steps.poll import JITTER
from worker.store.list_poll import SAMPLE_SIZE

Distribution = Callable[[random.Random], float]
IMAGES = Limits(interval_s=5, floor_s=1, ceiling_s=15)
BUDGET = 0.88  # PHOTOGPT_POLL_BUDGET
TRAININGS = Limits(interval_s=300, floor_s=60, ceiling_s=900)
COSTS = {"trigger": 3.0, "poll": 1.0, "page": 2.0, "end": 1.5}
"""CPU milliseconds of one worker, from `make bench` on two shared cores, rounded up."""
COMMANDS = {"trigger": 5, "poll": 2, "page": 1, "end": 1}
"""Redis scripts and commands: accept, record_intent, submitted and the message; claim and reschedule, shared by a
batch; a page; an end with its result."""
LEARNED_FROM = 20  # trainings
PAGE_S = 0.01  # round trip of one page


def lognormal(median: float, sigma: float) -> Distribution:
    """Return a distribution of durations in seconds."""
    return lambda rng: median * math.exp(rng.gauss(0, sigma))


def learned(distribution: Distribution, limits: Limits, jobs: int, rng: random.Random) -> Schedule:
    """Return the schedule learned from this many durations."""
    return learn(Counter(bin_of(distribution(rng)) for _ in range(jobs)), limits)


def noticed(schedule: Schedule, duration: float, rng: random.Random, *, age: float = 0.0) -> tuple[float, int]:
    """Return the age at which single polls from `age` on notice an end, and the number of polls."""
    polls = 0
    while age < duration or not polls:
        age += jittered(schedule.next_age(age) - age, spread=JITTER, random_fraction=rng.random())
        polls += 1
    return age, polls


def trainings(plan: Plan) -> list[Run]:
    """Compare the learned schedule with a fixed interval of as many polls; for `measures/schedule.py`."""
    rng, distribution = random.Random(plan.seed), _minutes(20, 25)
    schedule = learned(distribution, TRAININGS, LEARNED_FROM, rng)
    durations = [distribution(rng) for _ in range(20_000)]
    results = [noticed(schedule, duration, rng) for duration in durations]
    delays = [age - duration for (age, _), duration in zip(results, durations, strict=True)]
    per_job = sum(polls for _, polls in results) / len(results)
    return compare(durations, delays, per_job, load(), kind="training", learned_from=LEARNED_FROM, simulated=True)


def _minutes(low: float, high: float) -> Distribution:
    return lambda rng: rng.uniform(60 * low, 60 * high)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The requests, commands and CPU per second of a number of jobs in flight."""

    in_flight: int
    ends_per_s: float
    polls_per_s: float
    pages_per_s: float
    list_poll_s: float
    delay_mean_s: float
    delay_p99_s: float

    @property
    def requests_per_s(self) -> float:
        """Return requests to PhotoGPT: triggers, polls and pages."""
        return self.ends_per_s + self.polls_per_s + self.pages_per_s

    @property
    def commands_per_s(self) -> float:
        """Return Redis commands."""
        return self._sum(COMMANDS)

    @property
    def cores(self) -> float:
        """Return CPU cores of worker processes."""
        return self._sum(COSTS) / 1000

    def _sum(self, each: dict[str, float] | dict[str, int]) -> float:
        ends, polls, pages = self.ends_per_s, self.polls_per_s, self.pages_per_s
        return ends * (each["trigger"] + each["end"]) + polls * each["poll"] + pages * each["page"]


def seen(
    schedule: Schedule, duration: float, rng: random.Random, *, window_s: float, period_s: float
) -> tuple[float, int]:
    """Return the age at which list polls or single polls notice an end, and the number of single polls."""
    if duration < window_s and rng.random() > 1 / SAMPLE_EVERY:
        return duration + rng.random() * period_s, 1
    return noticed(schedule, duration, rng, age=min(window_s, duration))


def demand(in_flight: int, distribution: Distribution, *, page_size: int, processes: int, seed: int = 1) -> Demand:
    """Simulate a constant number of jobs in flight, each from its trigger to the poll that shows its end."""
    rng = random.Random(seed)
    schedule = learned(distribution, IMAGES, 2000, rng)
    durations = [distribution(rng) for _ in range(in_flight)]
    mean = sum(durations) / in_flight
    started_per_s = in_flight / mean
    known = replace(ListPollState(id="jobs"), page_size=float(page_size), density=started_per_s)
    ages = [rng.random() * chosen for chosen in rng.choices(durations, weights=durations, k=SAMPLE_SIZE)]
    window_s = choose_window(ages, in_flight, known, BUDGET) or 0.0
    pages = math.ceil(started_per_s * window_s / page_size) if window_s else 0
    list_poll_s = pages * max(PAGE_S / PARALLEL_SLICES, COSTS["page"] / 1000) / processes
    interval_s = list_interval(
        pages, in_flight, started_per_s, credit=0, interval_s=IMAGES.interval_s, floor_s=IMAGES.floor_s, budget=BUDGET
    )
    period = max(interval_s, list_poll_s)
    ends = [seen(schedule, duration, rng, window_s=window_s, period_s=period) for duration in durations]
    found = spread([age - duration for (age, _), duration in zip(ends, durations, strict=True)])
    return Demand(
        in_flight=in_flight,
        ends_per_s=started_per_s,
        polls_per_s=started_per_s * sum(polls for _, polls in ends) / in_flight,
        pages_per_s=pages / period,
        list_poll_s=list_poll_s,
        delay_mean_s=found["mean"],
        delay_p99_s=found["p99"],
    )


def main() -> None:
    """Print the demand of a thousand to a million jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--median", type=float, default=1200.0, help="seconds that a generation takes, lognormal")
    parser.add_argument("--sigma", type=float, default=0.4)
    parser.add_argument("--page-size", type=int, default=50)
    parser.add_argument("--processes", type=int, default=4, help="worker processes that share the pages")
    arguments = parser.parse_args()
    print("| in flight | ends/s | requests/s | pages/s | list poll, s | delay mean, p99, s | Redis/s | worker cores |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for in_flight in (1_000, 10_000, 100_000, 1_000_000):
        distribution = lognormal(arguments.median, arguments.sigma)
        found = demand(in_flight, distribution, page_size=arguments.page_size, processes=arguments.processes)
        delay = f"{found.delay_mean_s:.1f}, {found.delay_p99_s:.1f}"
        print(
            f"| {in_flight:,} | {found.ends_per_s:.1f} | {found.requests_per_s:,.0f} | {found.pages_per_s:,.0f} "
            f"| {found.list_poll_s:.1f} | {delay} | {found.commands_per_s:,.0f} | {found.cores:.2f} |"
        )


if __name__ == "__main__":
    main()
