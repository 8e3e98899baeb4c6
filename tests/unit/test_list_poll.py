"""When list polling is cheaper than single polls, how often it happens, and how durations are measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from tests.unit.factories import CREATED, make_job
from worker.domain.durations import duration_group, measured_duration, seconds_between
from worker.domain.job import Job, Kind
from worker.domain.list_poll import (
    DEFER_INTERVALS,
    MAX_CREDIT,
    MAX_SAMPLES,
    MAX_SLICES,
    MIN_IN_FLIGHT,
    MIN_SLICE_PAGES,
    PAGE_S,
    PAGE_VALUE_S,
    QUIET_PART,
    SAMPLE_EVERY,
    SLICE_S,
    ListPollState,
    choose_window,
    earned_credit,
    expected_pages,
    is_active,
    is_affordable,
    is_control_sample,
    list_interval,
    repeat_at,
    slice_count,
)

ages = st.lists(st.floats(min_value=0, max_value=5000), min_size=1, max_size=60)
densities = st.floats(min_value=0, max_value=1000)
KNOWN = ListPollState(id="jobs")
BUDGET = float(Settings.model_fields["poll_budget"].default)
INTERVAL_S, FLOOR_S = 5.0, 1.0


def requests(sample: list[float], in_flight: int, state: ListPollState, window_s: float) -> float:
    """Return the requests of one interval: the pages of a window, and single polls of older jobs."""
    weight = in_flight / len(sample)
    listed = sum(age <= window_s for age in sample)
    return expected_pages(listed * weight, window_s, state) + (len(sample) - listed) * weight


@given(ages, st.integers(0, 100_000), densities, st.integers(1, 500))
def test_a_window_stays_within_the_budget(sample: list[float], in_flight: int, density: float, size: int) -> None:
    """A window is chosen only if its pages cost less than the budget's share of the single polls that they save."""
    state = ListPollState(id="jobs", density=density, page_size=size)
    window_s = choose_window(sample, in_flight, state, BUDGET)
    if window_s is None:
        return
    listed = sum(age <= window_s for age in sample) * in_flight / len(sample)
    assert in_flight >= MIN_IN_FLIGHT
    assert expected_pages(listed, window_s, state) < BUDGET * listed + 1e-6
    assert requests(sample, in_flight, state, window_s) < in_flight + 1e-6


@given(ages, st.integers(MIN_IN_FLIGHT, 100_000), densities, densities)
def test_a_denser_list_shortens_the_window(sample: list[float], in_flight: int, one: float, other: float) -> None:
    """The more generations are listed per second, the shorter is the window that is worth its pages."""
    thin, dense = (
        choose_window(sample, in_flight, replace(KNOWN, density=each), BUDGET) for each in sorted((one, other))
    )
    assert (dense or 0) <= (thin or 0)


def test_an_old_job_is_polled_singly() -> None:
    """One old job is polled singly instead of reading hours of the list for it."""
    sample = [float(n) for n in range(1, 100)] + [7200.0]
    assert choose_window(sample, 100, replace(KNOWN, density=1.0), BUDGET) == 99


@pytest.mark.parametrize("in_flight", [0, MIN_IN_FLIGHT - 1])
def test_a_single_job_is_polled_singly(in_flight: int) -> None:
    """Below the minimum in flight, or without known ages, the list is not read."""
    assert choose_window([1.0], in_flight, KNOWN, BUDGET) is None
    assert choose_window([], 1000, KNOWN, BUDGET) is None


def test_a_burst_is_expected_to_fill_its_pages() -> None:
    """Generations that were created within a second need as many pages as they fill, whatever the density is."""
    assert expected_pages(1000, 1.0, replace(KNOWN, page_size=50, density=2.0)) == 20
    assert expected_pages(1, 3600.0, replace(KNOWN, page_size=50, density=2.0)) == 144
    assert expected_pages(51, 1.0, replace(KNOWN, page_size=50)) == 1  # an estimate is not worth a page


@pytest.mark.parametrize("in_flight", [2, 5, 40])
def test_pages_of_one_are_not_read(in_flight: int) -> None:
    """Where each page shows one generation, single polls cost the same and decide: the list is not read."""
    state = replace(KNOWN, page_size=1.0, credit=MAX_CREDIT)
    assert choose_window([20.0 + number / 100 for number in range(in_flight)], in_flight, state, BUDGET) is None


def test_the_share_of_control_samples() -> None:
    """About one generation in 64 is a control sample, and always the same ones."""
    names = [f"job_{number:08x}" for number in range(20_000)]
    samples = [name for name in names if is_control_sample(name)]
    assert len(samples) == pytest.approx(len(names) / SAMPLE_EVERY, rel=0.35)
    assert samples == [name for name in names if is_control_sample(name)]


def test_a_large_fleet_needs_no_more_control_samples() -> None:
    """With 100,000 generations in flight, about as many are control samples as with 16,000."""
    names = [f"job_{number:08x}" for number in range(100_000)]
    samples = sum(is_control_sample(name, len(names)) for name in names)
    assert samples == pytest.approx(MAX_SAMPLES, rel=0.35)


@given(st.integers(1, 3000), st.integers(MIN_IN_FLIGHT, 100_000), st.floats(0, 1000), st.floats(0.1, 20))
def test_the_interval_of_list_polls(pages: int, in_flight: int, ends_per_s: float, budget: float) -> None:
    """List polls come no faster than the floor, no slower than single polls, and cost no more than the budget."""
    found = list_interval(pages, in_flight, ends_per_s, credit=0, interval_s=INTERVAL_S, floor_s=FLOOR_S, budget=budget)
    assert FLOOR_S <= found <= INTERVAL_S
    if is_affordable(pages, in_flight, 0, budget):
        assert pages / found <= budget * in_flight / INTERVAL_S * (1 + 1e-9)


@pytest.mark.parametrize(
    ("pages", "in_flight", "ends_per_s", "seconds"),
    [
        (1, 40, 0.0, QUIET_PART * INTERVAL_S),  # nothing ends
        (1, 40, 2.0, FLOOR_S),
        (20, 1000, 50.0, FLOOR_S),
        (20, 1000, 20.0, math.sqrt(2 * PAGE_VALUE_S)),
        (20, 30, 20.0, 20 * INTERVAL_S / (BUDGET * 30)),  # the budget decides
        (20, 10, 20.0, INTERVAL_S),  # no slower than single polls
    ],
)
def test_more_ends_shorten_the_interval(pages: int, in_flight: int, ends_per_s: float, seconds: float) -> None:
    """The list is polled the more often the more generations end, between the floor and the budget."""
    found = list_interval(pages, in_flight, ends_per_s, credit=0, interval_s=INTERVAL_S, floor_s=FLOOR_S, budget=BUDGET)
    assert found == pytest.approx(seconds)


def test_credit_lets_the_last_job_be_listed() -> None:
    """What the budget has not spent while nothing ended pays for listing the last job; without it none is listed."""
    began = replace(KNOWN, window_s=10.0, at=100.0)
    quiet_s = QUIET_PART * INTERVAL_S
    left = earned_credit(began, 5, 100.0 + quiet_s, interval_s=INTERVAL_S, budget=BUDGET) - 1
    assert left == pytest.approx(BUDGET * 5 / INTERVAL_S * quiet_s - 1)
    saved = replace(began, credit=4.0)
    assert choose_window([20.0], 1, saved, BUDGET) == 20.0
    assert choose_window([20.0], 1, replace(began, credit=0.9), BUDGET) is None
    spent = list_interval(1, 1, 0.0, credit=3.0, interval_s=INTERVAL_S, floor_s=FLOOR_S, budget=BUDGET)
    assert spent == quiet_s
    assert list_interval(1, 1, 0.0, credit=0.0, interval_s=INTERVAL_S, floor_s=FLOOR_S, budget=BUDGET) > quiet_s


def test_the_last_two_jobs_are_listed_more_often_than_polled() -> None:
    """Without credit, the budget lists two jobs every three seconds instead of polling each every five."""
    every_s = list_interval(1, 2, 0.2, credit=0.0, interval_s=INTERVAL_S, floor_s=FLOOR_S, budget=BUDGET)
    assert every_s < 3


def test_credit_is_limited() -> None:
    """Hours in which nothing ends do not pay for a flood of pages, and a list that was not polled earns nothing."""
    began = replace(KNOWN, window_s=10.0, at=100.0)
    assert earned_credit(began, 50, 1e6, interval_s=INTERVAL_S, budget=BUDGET) == MAX_CREDIT
    assert earned_credit(KNOWN, 50, 1e6, interval_s=INTERVAL_S, budget=BUDGET) == 0


@pytest.mark.parametrize("pages", [1, 20, 100, 1000])
def test_a_list_of_many_pages_is_polled_as_often_as_the_budget_allows(pages: int) -> None:
    """However many pages a list poll takes, list polls follow one another at the interval that the budget pays for."""
    in_flight, at = 2 * pages, 100.0
    state = replace(KNOWN, window_s=10.0, pages=pages, at=at)
    every_s = 0.0
    for _ in range(10):
        credit = earned_credit(state, in_flight, at, interval_s=INTERVAL_S, budget=BUDGET) - pages
        limits: dict[str, float] = {"interval_s": INTERVAL_S, "floor_s": FLOOR_S, "budget": BUDGET}
        every_s = list_interval(pages, in_flight, 1e9, credit=credit, **limits)
        state, at = replace(state, credit=credit, at=at), at + every_s
    assert every_s == pytest.approx(pages * INTERVAL_S / (BUDGET * in_flight))


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
        (CREATED + 10, 9.0, 9.0),
        (CREATED + 10, 16.0, 16.0),
        (CREATED + 10, 8.9, 12.5),
        (CREATED + 10, 16.1, 12.5),
        (CREATED + 10, float("nan"), 12.5),
        (None, None, 7.5),
        (CREATED + 90, None, 90.0),
        (CREATED - 90, None, 7.5),
    ],
    ids=[
        "stated",
        "shorter by the tolerance",
        "longer by the tolerance",
        "too short",
        "too long",
        "not a number",
        "never polled",
        "clock went back",
        "polled before",
    ],
)
def test_a_stated_duration_is_checked(last_polled_at: float | None, stated: float | None, expected: float) -> None:
    """A duration that PhotoGPT states counts if it lies between the last two polls, or a second beside them."""
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


def test_list_polling_is_active_for_a_while() -> None:
    """List polling is active until an interval of single polls, or two of its own, passed without a list poll."""
    active = replace(KNOWN, window_s=60.0, interval_s=1.0, at=CREATED)
    assert is_active(active, CREATED + INTERVAL_S - 0.1, INTERVAL_S)
    assert not is_active(active, CREATED + INTERVAL_S, INTERVAL_S)
    rare = replace(active, interval_s=4.0)
    assert is_active(rare, CREATED + 7.9, INTERVAL_S)
    assert not is_active(rare, CREATED + 8, INTERVAL_S)
    assert not is_active(replace(active, window_s=0.0), CREATED + 1, INTERVAL_S)
    assert not is_active(None, CREATED, INTERVAL_S)


@given(st.floats(0, 1e9), st.floats(1, 60), st.floats(0, 1, exclude_max=True), st.floats(0, 0.9))
def test_a_deferral_is_repeated_in_time(at: float, interval_s: float, random_fraction: float, late: float) -> None:
    """A deferral is repeated within two intervals, before its three are over, and every 1.5 intervals after that."""
    first_at = repeat_at(0.0, at + 100, interval_s, random_fraction) - 100
    assert interval_s / 2 - 1e-3 <= first_at - at <= 2 * interval_s + 1e-3 < DEFER_INTERVALS * interval_s
    late_at = first_at + late * interval_s  # the list is not polled at exactly that time
    assert repeat_at(first_at, late_at, interval_s, 0.9) == pytest.approx(first_at + 1.5 * interval_s, abs=1e-3)
    long_after = first_at + 10 * interval_s
    assert repeat_at(first_at, long_after, interval_s, random_fraction) > long_after


@given(st.integers(1, 10_000), st.floats(min_value=0, max_value=10))
def test_a_window_is_cut_only_where_that_makes_it_faster(pages: int, page_s: float) -> None:
    """Each slice takes about as long as it may, has enough pages, and there are not too many."""
    count = slice_count(pages, page_s)
    assert 1 <= count <= MAX_SLICES
    assert count == 1 or pages / count >= MIN_SLICE_PAGES
    if pages * page_s <= SLICE_S:
        assert count == 1
    if 1 < count < min(MAX_SLICES, pages // MIN_SLICE_PAGES):
        assert pages * page_s / count == pytest.approx(SLICE_S, rel=0.5)


def test_twenty_pages_of_an_api_that_answers_at_once_are_one_slice() -> None:
    """Slices cost requests: 20 pages are cut where each takes 0.15 s, or nothing is known, not where it takes 4 ms."""
    assert [slice_count(20, page_s) for page_s in (0.004, 0.15, PAGE_S)] == [1, 4, 4]
