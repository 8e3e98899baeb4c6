"""When to look next: bounds that hold for every law of durations, and what is gained on some."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from worker.domain.poll_schedule import MIN_HISTORY, MIN_S, RATIO, RIPE, Limits, Schedule, bin_of, edge, fixed, learn

LIMITS = Limits(interval_s=5, floor_s=1, ceiling_s=60)
FREE = Limits(interval_s=5, floor_s=1e-6, ceiling_s=1e6)

durations = st.floats(min_value=MIN_S, max_value=20_000)
histories = st.dictionaries(st.integers(0, bin_of(3600)), st.floats(min_value=1, max_value=2000), min_size=1).filter(
    lambda history: sum(history.values()) >= MIN_HISTORY
)
ages = st.floats(min_value=0, max_value=50_000)


def history_of(drawn: list[float]) -> dict[int, float]:
    """Return the histogram of some durations."""
    found: dict[int, float] = {}
    for each in drawn:
        found[bin_of(each)] = found.get(bin_of(each), 0) + 1
    return found


def cost(schedule: Schedule, drawn: list[float]) -> tuple[float, float]:
    """Return the mean number of looks, and the mean delay, of walking it for each duration."""
    looks, delay = 0, 0.0
    for number, end in enumerate(drawn):
        age = LIMITS.interval_s * (number % 97) / 97 * 0.2  # nobody begins to count at the same moment
        while age < end:
            age = schedule.next_age(age)
            looks += 1
        delay += age - end
    return looks / len(drawn), delay / len(drawn)


@given(durations)
def test_a_duration_lies_within_its_bin(duration: float) -> None:
    """Up to rounding at the edges."""
    number = bin_of(duration)
    assert edge(number) * (1 - 1e-9) <= duration <= edge(number + 1) * (1 + 1e-9)


@given(st.integers(1, 400))
def test_bins_round_trip(number: int) -> None:
    """The middle of a bin falls into it."""
    assert bin_of(edge(number) * math.sqrt(RATIO)) == number


@given(histories, ages)
@hypothesis_settings(max_examples=60)
def test_gaps_stay_within_the_limits(history: dict[int, float], age: float) -> None:
    """For every law and every age, so time goes on."""
    schedule = learn(history, LIMITS)
    gap = schedule.next_age(age) - age
    assert LIMITS.floor_s * 0.999999 <= gap <= LIMITS.ceiling_s * 1.000001


@given(histories)
@hypothesis_settings(max_examples=60)
def test_the_count_of_looks_grows(history: dict[int, float]) -> None:
    """Ages and counts ascend, from 0, and the sums that are told are finite."""
    schedule = learn(history, LIMITS)
    for values in (schedule.ages, schedule.counts):
        assert values[0] == 0
        assert all(first < second for first, second in pairwise(values))
    assert math.isfinite(schedule.looks)
    assert math.isfinite(schedule.delay_s)
    assert 0 <= schedule.min_duration_s <= schedule.p95_duration_s


@given(histories, ages, ages)
@hypothesis_settings(max_examples=60)
def test_who_is_older_is_looked_at_later(history: dict[int, float], one: float, other: float) -> None:
    """The next look never comes before that of a younger one."""
    schedule = learn(history, LIMITS)
    first, second = sorted((one, other))
    assert schedule.next_age(first) <= schedule.next_age(second) * (1 + 1e-9) + 1e-9


@given(histories, st.floats(min_value=0.2, max_value=3))
@hypothesis_settings(max_examples=60)
def test_it_spends_what_it_may(history: dict[int, float], effort: float) -> None:
    """Where no limit binds, as many looks as at the fixed interval, times the effort."""
    limits = Limits(FREE.interval_s, FREE.floor_s, FREE.ceiling_s, effort)
    schedule, plain = learn(history, limits), learn(history, Limits(5, 5, 5))
    assert schedule.looks == pytest.approx(effort * plain.looks, rel=0.01)


def lognormal(middle: float, spread: float) -> list[float]:
    """Return image-like durations."""
    random_fraction = random.Random(7)
    return [random_fraction.lognormvariate(math.log(middle), spread) for _ in range(1500)]


LAWS = {
    "narrow": (lognormal(20, 0.1), 0.5),
    "image-like": (lognormal(20, 0.35), 0.75),
    "bimodal": ([x for pair in zip(lognormal(8, 0.15), lognormal(60, 0.15), strict=True) for x in pair], 0.6),
    "heavy tail": (lognormal(15, 1.0), 1.0),
}


@pytest.mark.parametrize(("drawn", "part"), LAWS.values(), ids=LAWS)
def test_at_equal_requests_it_notices_sooner(drawn: list[float], part: float) -> None:
    """Walked against the fixed interval over the same durations."""
    learned = learn(history_of(drawn), LIMITS)
    assert learned.learned_from == len(drawn)
    looks, delay = cost(learned, drawn)
    plain_looks, plain_delay = cost(fixed(LIMITS), drawn)
    assert looks <= plain_looks * 1.1
    assert delay <= plain_delay * part
    assert delay == pytest.approx(learned.delay_s, rel=0.35)


def test_what_it_foretells_of_who_is_old() -> None:
    """Nearly all have ended by one age, hardly any by the other."""
    drawn = lognormal(20, 0.35)
    learned = learn(history_of(drawn), LIMITS)
    assert sum(each > learned.p95_duration_s for each in drawn) <= 0.06 * len(drawn)
    assert sum(each < learned.min_duration_s for each in drawn) <= 0.01 * len(drawn)
    assert learned.min_duration_s > 1


def test_too_few_say_nothing() -> None:
    """One below the least history keeps the fixed interval, the next one does not."""
    assert learn({50: MIN_HISTORY - 1}, LIMITS) == fixed(LIMITS)
    assert learn({}, LIMITS) == fixed(LIMITS)
    assert learn({50: MIN_HISTORY}, LIMITS) != fixed(LIMITS)


def test_a_young_history_has_missed_the_long_ones() -> None:
    """It is not believed before the long ones could have ended."""
    history = history_of([20.0] * 100)
    ripe = RIPE * edge(bin_of(20.0) + 1)
    assert learn(history, LIMITS, known_for_s=ripe * 0.99) == fixed(LIMITS)
    assert learn(history, LIMITS, known_for_s=ripe * 1.01).learned_from == 100


def test_halving_changes_nothing() -> None:
    """Only what weighs how much against the rest counts."""
    history = history_of(lognormal(20, 0.35))
    whole, half = (learn({n: w * part for n, w in history.items()}, LIMITS) for part in (1, 0.5))
    assert half.counts == pytest.approx(whole.counts)
    assert half.p95_duration_s == whole.p95_duration_s


def test_the_fixed_one() -> None:
    """Looks at every interval, for ever."""
    schedule = fixed(LIMITS)
    assert [schedule.next_age(age) for age in (0, 5, 7.5, 1e6)] == [5, 10, 12.5, 1e6 + 5]
    assert schedule.min_duration_s == 0
