"""When list polling is cheaper than single polls, how often it happens, and how durations are measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.factories import CREATED, make_job
from worker.domain.durations import duration_group, measured_duration, seconds_between
from worker.domain.job import Job, Kind
from worker.domain.list_poll import (
    FEW_SAMPLES,
    MAX_COST,
    MAX_PAGES_PER_S,
    MAX_SAMPLES,
    MAX_SUSPEND_S,
    MIN_IN_FLIGHT,
    MIN_SAMPLES,
    SAMPLES,
    SUSPEND_S,
    ListPollState,
    choose_window,
    is_control_sample,
    list_interval,
    sample_every,
    single_poll_after,
    suspend_s,
)
from worker.domain.list_poll import (
    SETTLED as CONFIRMATIONS,
)
from worker.domain.poll_schedule import Limits

ages = st.lists(st.floats(min_value=0, max_value=5000), min_size=1, max_size=60)
densities = st.floats(min_value=0, max_value=1000)
KNOWN = ListPollState(id="jobs")


def total(sample: list[float], in_flight: int, state: ListPollState, window_s: float) -> float:
    """Return the requests of one interval: the pages of a window, and single polls of older jobs."""
    pages = math.ceil((state.density or 0) * window_s / state.page_size) + 1
    return pages + sum(age > window_s for age in sample) * in_flight / len(sample)


@given(ages, st.integers(0, 100_000), densities, st.integers(1, 500))
def test_a_list_poll_is_chosen_only_if_it_is_cheaper(
    sample: list[float], in_flight: int, density: float, size: int
) -> None:
    """A list poll is chosen only if it costs less than single polls, and its window is the cheapest one."""
    state = ListPollState(id="jobs", density=density, page_size=size)
    window_s = choose_window(sample, in_flight, state)
    if window_s is None:
        assert in_flight < MIN_IN_FLIGHT or all(
            total(sample, in_flight, state, a) >= MAX_COST * in_flight for a in sample
        )
        return
    spent = total(sample, in_flight, state, window_s)
    assert spent < MAX_COST * in_flight
    assert all(spent <= total(sample, in_flight, state, age) + 1e-6 for age in sample)


@given(ages, st.integers(MIN_IN_FLIGHT, 100_000), densities, densities)
def test_a_denser_list_shortens_the_window(sample: list[float], in_flight: int, one: float, other: float) -> None:
    """The more generations are listed per second, the shorter is the window that is worth its pages."""
    thin, dense = (choose_window(sample, in_flight, replace(KNOWN, density=each)) for each in sorted((one, other)))
    assert (dense or 0) <= (thin or 0)


def test_an_old_job_is_polled_singly() -> None:
    """One old job is polled singly instead of reading hours of the list for it."""
    assert choose_window([float(n) for n in range(1, 100)] + [7200.0], 100, replace(KNOWN, density=1.0)) == 99


@pytest.mark.parametrize("in_flight", [0, MIN_IN_FLIGHT - 1])
def test_few_jobs_are_polled_singly(in_flight: int) -> None:
    """With fewer than four generations in flight there is no list poll."""
    assert choose_window([1.0], in_flight, KNOWN) is None
    assert choose_window([], 1000, KNOWN) is None


@pytest.mark.parametrize("sample_every", [1, 8, SAMPLES, FEW_SAMPLES])
def test_the_share_of_control_samples(sample_every: int) -> None:
    """About one generation in so many is a control sample, and always the same ones."""
    names = [f"job_{number:08x}" for number in range(20_000)]
    sent = [name for name in names if is_control_sample(name, sample_every)]
    assert len(sent) == pytest.approx(len(names) / sample_every, rel=0.35)
    assert sent == [name for name in names if is_control_sample(name, sample_every)]


@pytest.mark.parametrize(
    ("confirmed", "in_flight", "expected"),
    [
        (0, 2000, SAMPLES),
        (CONFIRMATIONS, 2000, FEW_SAMPLES),
        (0, 40, 40 // MIN_SAMPLES),
        (0, 4, 1),
        (CONFIRMATIONS, 20, 20),
        (CONFIRMATIONS, 0, 1),
        (CONFIRMATIONS, 100_000, 100_000 // MAX_SAMPLES),
    ],
)
def test_how_many_control_samples_there_are(confirmed: int, in_flight: int, expected: int) -> None:
    """A confirmed list needs fewer control samples than a new one."""
    assert sample_every(replace(KNOWN, confirmed=confirmed), in_flight) == expected


SETTLED = replace(KNOWN, confirmed=CONFIRMATIONS)
LIMITS = Limits(interval_s=5, floor_s=1, ceiling_s=15)


@given(st.integers(0, 3000), st.integers(0, 100_000), st.floats(0.1, 20))
def test_the_interval_of_list_polls(pages: int, in_flight: int, budget: float) -> None:
    """List polls come at most every floor and at least every interval, and stay within both budgets of pages."""
    found = list_interval(pages, in_flight, SETTLED, replace(LIMITS, budget=budget))
    assert LIMITS.floor_s <= found <= LIMITS.interval_s
    if found < LIMITS.interval_s:
        assert pages / found <= MAX_PAGES_PER_S * budget + 1e-6
        assert pages / found <= MAX_COST * budget * max(1, in_flight) / LIMITS.interval_s + 1e-6


@pytest.mark.parametrize(
    ("pages", "in_flight", "seconds"), [(1, 20, 1), (1, 4, 1.5625), (3, 100, 1.5), (6, 250, 3), (20, 1000, 5)]
)
def test_few_jobs_are_listed_often(pages: int, in_flight: int, seconds: float) -> None:
    """A few jobs are listed more often than the interval, many jobs at the interval."""
    assert list_interval(pages, in_flight, SETTLED, LIMITS) == seconds


def test_an_unconfirmed_list_is_polled_at_the_interval() -> None:
    """A list that is not confirmed yet is polled at the interval."""
    assert list_interval(1, 20, KNOWN, LIMITS) == LIMITS.interval_s


def test_a_fixed_interval_stays_one() -> None:
    """With a fixed interval in the settings, list polls keep to it."""
    assert list_interval(1, 20, SETTLED, Limits(interval_s=5, floor_s=5, ceiling_s=5)) == 5


def test_suspensions_double_up_to_an_hour() -> None:
    """The suspension of a wrong list doubles each time, up to an hour."""
    waits = [suspend_s(times) for times in (1, 2, 3, 6, 7, 10_000)]
    assert waits == [SUSPEND_S, 120, 240, 1920, MAX_SUSPEND_S, MAX_SUSPEND_S]


def test_duration_groups() -> None:
    """Trained models share one duration group, PhotoGPT's own models have one each, and names are bounded."""
    assert duration_group(asking("nanobanana")) == "image:nanobanana"
    assert duration_group(asking("mine-1")) == duration_group(asking("mine-2")) == "image:own"
    assert duration_group(asking("veo-3.1", Kind.VIDEO)) == "video:veo-3.1"
    assert len(duration_group(asking("v" * 5000, Kind.VIDEO))) < 120
    assert duration_group(make_job(Kind.TRAINING)) == "training"
    assert duration_group(make_job(Kind.UPSCALE)) == "upscale"


def asking(model: str, kind: Kind = Kind.IMAGE) -> Job:
    """Return a job that names a model."""
    return make_job(kind, request={"modelID": model, "prompt": "a quiet harbour"})


@pytest.mark.parametrize(
    ("last_polled_at", "stated", "expected"),
    [
        (CREATED + 10, 12.0, 12.0),
        (CREATED + 10, 9.5, 9.5),
        (CREATED + 10, 3.0, 12.5),
        (CREATED + 10, 17.0, 12.5),
        (CREATED + 10, float("nan"), 12.5),
        (None, None, 7.5),
        (CREATED + 90, None, 90.0),
        (CREATED - 90, None, 7.5),
    ],
    ids=[
        "stated",
        "within tolerance",
        "too short",
        "too long",
        "not a number",
        "never polled",
        "clock went back",
        "polled before",
    ],
)
def test_a_stated_duration_is_checked(last_polled_at: float | None, stated: float | None, expected: float) -> None:
    """A duration that PhotoGPT states counts only if it lies between the last two polls."""
    job = make_job(submitted_at=CREATED, last_polled_at=last_polled_at)
    assert measured_duration(job, at=CREATED + 15, stated=stated, random_fraction=0.5) == expected


def test_a_job_without_a_submission_has_no_duration() -> None:
    """The duration of a job without a time of submission is unknown."""
    assert measured_duration(make_job(), at=CREATED + 15, stated=3.0, random_fraction=0.5) is None


@pytest.mark.parametrize("begin", [None, "", "yesterday", 7, {}])
def test_an_unreadable_time_gives_no_duration(begin: object) -> None:
    """A value that is not a time gives no duration."""
    assert seconds_between(begin, "2027-01-01T00:00:00Z") is None
    assert seconds_between("2027-01-01T00:00:00Z", "2027-01-01T00:00:04.5Z") == 4.5


def test_a_new_job_is_polled_singly_after_the_list() -> None:
    """While list polling is active, the first single poll comes after the list poll that shows the job."""
    active = replace(KNOWN, window_s=60.0, seconds=1.0, min_duration_s=2.0, at=CREATED)
    assert single_poll_after(active, CREATED + 1, 5.0) == pytest.approx(2.0 + 1.3 * 6)
    assert single_poll_after(active, CREATED + 100, 5.0) == 0.0
    assert single_poll_after(replace(active, window_s=0.0), CREATED + 1, 5.0) == 0.0
