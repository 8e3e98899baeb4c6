"""The learned poll schedule: limits that hold for every distribution of durations, and the gain on some."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.factories import CREATED, make_job
from worker.domain.poll_schedule import (
    BIN_RATIO,
    FIRST_EDGE_S,
    MIN_HISTORY,
    MIN_OBSERVED,
    Limits,
    Schedule,
    bin_of,
    edge,
    fixed,
    learn,
    unknown_status_delay,
)
from worker.steps.poll import next_poll_delay

LIMITS = Limits(interval_s=5, floor_s=1, ceiling_s=60)
FREE = Limits(interval_s=5, floor_s=1e-6, ceiling_s=1e6)

durations = st.floats(min_value=FIRST_EDGE_S, max_value=20_000)
histories = st.dictionaries(st.integers(0, bin_of(3600)), st.floats(min_value=1, max_value=2000), min_size=1).filter(
    lambda history: sum(history.values()) >= MIN_HISTORY
)
ages = st.floats(min_value=0, max_value=50_000)


def history_of(sample: list[float]) -> dict[int, float]:
    """Return the histogram of some durations."""
    found: dict[int, float] = {}
    for each in sample:
        found[bin_of(each)] = found.get(bin_of(each), 0) + 1
    return found


def cost(schedule: Schedule, sample: list[float]) -> tuple[float, float]:
    """Return the mean number of polls and the mean delay of a schedule over a sample of durations."""
    polls, delay = 0, 0.0
    for number, end in enumerate(sample):
        age = LIMITS.interval_s * (number % 97) / 97 * 0.2  # starts are spread
        while age < end:
            age = schedule.next_age(age)
            polls += 1
        delay += age - end
    return polls / len(sample), delay / len(sample)


@given(durations)
def test_a_duration_lies_within_its_bin(duration: float) -> None:
    """A duration lies between the edges of its bin, up to rounding."""
    number = bin_of(duration)
    assert edge(number) * (1 - 1e-9) <= duration <= edge(number + 1) * (1 + 1e-9)


@given(st.integers(1, 400))
def test_bins_round_trip(number: int) -> None:
    """The middle of a bin belongs to that bin."""
    assert bin_of(edge(number) * math.sqrt(BIN_RATIO)) == number


@given(histories, ages)
@hypothesis_settings(max_examples=60)
def test_delays_stay_within_the_limits(history: dict[int, float], age: float) -> None:
    """The delay between two polls stays within floor and ceiling at every age."""
    schedule = learn(history, LIMITS)
    delay = schedule.next_age(age) - age
    assert LIMITS.floor_s * 0.999999 <= delay <= LIMITS.ceiling_s * 1.000001


@given(histories)
@hypothesis_settings(max_examples=60)
def test_ages_and_counts_ascend(history: dict[int, float]) -> None:
    """Ages and counts ascend from zero, and the expected polls and delay are finite."""
    schedule = learn(history, LIMITS)
    for values in (schedule.ages, schedule.counts):
        assert values[0] == 0
        assert all(first < second for first, second in pairwise(values))
    assert math.isfinite(schedule.polls)
    assert math.isfinite(schedule.delay_s)
    assert schedule.p95_duration_s >= 0


@given(histories, ages, ages)
@hypothesis_settings(max_examples=60)
def test_older_jobs_are_polled_later(history: dict[int, float], one: float, other: float) -> None:
    """The next poll of an older job never comes before that of a younger one."""
    schedule = learn(history, LIMITS)
    first, second = sorted((one, other))
    assert schedule.next_age(first) <= schedule.next_age(second) * (1 + 1e-9) + 1e-9


@given(histories)
@hypothesis_settings(max_examples=60)
def test_the_polls_are_spent(history: dict[int, float]) -> None:
    """Where no limit applies, the schedule makes as many polls as the fixed interval."""
    assert learn(history, FREE).polls == pytest.approx(learn(history, Limits(5, 5, 5)).polls, rel=0.01)


def lognormal(middle: float, spread: float) -> list[float]:
    """Return a sample of lognormal durations."""
    generator = random.Random(7)
    return [generator.lognormvariate(math.log(middle), spread) for _ in range(1500)]


LAWS = {
    "narrow": (lognormal(20, 0.1), 0.5),
    "image-like": (lognormal(20, 0.35), 0.75),
    "bimodal": ([x for pair in zip(lognormal(8, 0.15), lognormal(60, 0.15), strict=True) for x in pair], 0.6),
    "heavy tail": (lognormal(15, 1.0), 1.0),
}


@pytest.mark.parametrize(("sample", "part"), LAWS.values(), ids=LAWS)
def test_equal_polls_notice_sooner(sample: list[float], part: float) -> None:
    """With about as many polls as the fixed interval, the learned schedule notices an end sooner."""
    learned = learn(history_of(sample), LIMITS)
    assert learned.learned_from == len(sample)
    polls, delay = cost(learned, sample)
    plain_polls, plain_delay = cost(fixed(LIMITS), sample)
    assert polls <= plain_polls * 1.1
    assert delay <= plain_delay * part
    assert delay == pytest.approx(learned.delay_s, rel=0.35)


def test_quantiles() -> None:
    """About 95 % of the durations are below the p95."""
    sample = lognormal(20, 0.35)
    learned = learn(history_of(sample), LIMITS)
    assert sum(each > learned.p95_duration_s for each in sample) <= 0.06 * len(sample)


def test_a_small_history_keeps_the_interval() -> None:
    """A history of fewer than twenty durations keeps the fixed interval."""
    assert learn({50: MIN_HISTORY - 1}, LIMITS) == fixed(LIMITS)
    assert learn({}, LIMITS) == fixed(LIMITS)
    assert learn({50: MIN_HISTORY}, LIMITS) != fixed(LIMITS)


def test_a_young_history_keeps_the_interval() -> None:
    """A history is used only once it is three times as old as its p95."""
    history = history_of([20.0] * 100)
    observed_s = MIN_OBSERVED * edge(bin_of(20.0) + 1)
    assert learn(history, LIMITS, known_for_s=observed_s * 0.99) == fixed(LIMITS)
    assert learn(history, LIMITS, known_for_s=observed_s * 1.01).learned_from == 100


def test_halving_the_weights_changes_nothing() -> None:
    """Halving all weights of a history does not change its schedule."""
    history = history_of(lognormal(20, 0.35))
    whole, half = (learn({n: w * part for n, w in history.items()}, LIMITS) for part in (1, 0.5))
    assert half.counts == pytest.approx(whole.counts)
    assert half.p95_duration_s == whole.p95_duration_s


def test_the_fixed_schedule() -> None:
    """The fixed schedule polls once per interval at every age."""
    schedule = fixed(LIMITS)
    assert [schedule.next_age(age) for age in (0, 5, 7.5, 1e6)] == [5, 10, 12.5, 1e6 + 5]


@pytest.mark.parametrize("random_fraction", [0.0, 0.999])
def test_a_poll_is_moved_by_two_percent_at_most(random_fraction: float) -> None:
    """Polls of one job keep the fixed interval to within a fiftieth, so that none is much later than without jitter."""
    services: Any = SimpleNamespace(
        store=SimpleNamespace(schedules=SimpleNamespace(of=lambda _job: fixed(LIMITS))),
        random=SimpleNamespace(random=lambda: random_fraction),
    )
    job = make_job(submitted_at=CREATED)
    assert next_poll_delay(services, job, CREATED) == pytest.approx(LIMITS.interval_s, rel=0.0201)


@pytest.mark.parametrize(
    ("status", "shown_for_s", "delay_s"),
    [("canceled", 60, 30), ("moderated", 600, 300), ("moderating", 60, 0), ("in progress", 60, 0), ("pending", 60, 0)],
)
def test_a_status_that_may_be_final_is_polled_less_and_less(status: str, shown_for_s: float, delay_s: float) -> None:
    """An undocumented status is polled at growing distances, unless its word says that work goes on."""
    job = make_job(photogpt_status=status, photogpt_status_since=CREATED)
    assert unknown_status_delay(job, status, CREATED + shown_for_s) == delay_s
    assert unknown_status_delay(job, "rejected", CREATED + shown_for_s) == 0
