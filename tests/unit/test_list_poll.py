"""Whether to read the list instead of looking at each, and for how long a bad list is not used."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.factories import CREATED, make_job
from worker.domain.durations import between, duration_group, took
from worker.domain.job import Job, Kind
from worker.domain.list_poll import (
    FEW_SAMPLES,
    MAX_SAMPLES,
    MAX_SUSPEND_S,
    MIN_IN_FLIGHT,
    MIN_SAMPLES,
    PAGES_PER_S,
    SAMPLES,
    SETTLING,
    SUSPEND_S,
    WORTH_IT,
    ListPollState,
    choose_window,
    gap,
    is_control_sample,
    sample_every,
    suspend_s,
)
from worker.domain.poll_schedule import Limits

ages = st.lists(st.floats(min_value=0, max_value=5000), min_size=1, max_size=60)
densities = st.floats(min_value=0, max_value=1000)
KNOWN = ListPollState(id="jobs")


def total(drawn: list[float], under_way: int, known: ListPollState, far: float) -> float:
    """Return the requests of one interval: pages as far as `far`, and single looks at who is older."""
    pages = math.ceil((known.density or 0) * far / known.page_size) + 1
    return pages + sum(age > far for age in drawn) * under_way / len(drawn)


@given(ages, st.integers(0, 100_000), densities, st.integers(1, 500))
def test_it_is_never_chosen_when_it_costs_more(drawn: list[float], under_way: int, density: float, size: int) -> None:
    """And what is chosen is the cheapest there is."""
    known = ListPollState(id="jobs", density=density, page_size=size)
    far = choose_window(drawn, under_way, known)
    if far is None:
        assert under_way < MIN_IN_FLIGHT or all(
            total(drawn, under_way, known, a) >= WORTH_IT * under_way for a in drawn
        )
        return
    spent = total(drawn, under_way, known, far)
    assert spent < WORTH_IT * under_way
    assert all(spent <= total(drawn, under_way, known, age) + 1e-6 for age in drawn)


@given(ages, st.integers(MIN_IN_FLIGHT, 100_000), densities, densities)
def test_more_of_others_shortens_the_reach(drawn: list[float], under_way: int, one: float, other: float) -> None:
    """The longer the list of a second, the sooner single looks are cheaper."""
    thin, dense = (choose_window(drawn, under_way, replace(KNOWN, density=each)) for each in sorted((one, other)))
    assert (dense or 0) <= (thin or 0)


def test_who_lies_far_back_is_left_to_single_looks() -> None:
    """One old job does not make everybody read hours of the list."""
    assert choose_window([float(n) for n in range(1, 100)] + [7200.0], 100, replace(KNOWN, density=1.0)) == 99


@pytest.mark.parametrize("under_way", [0, MIN_IN_FLIGHT - 1])
def test_few_are_looked_at_singly(under_way: int) -> None:
    """Without asking whether a sweep were cheaper."""
    assert choose_window([1.0], under_way, KNOWN) is None
    assert choose_window([], 1000, KNOWN) is None


@pytest.mark.parametrize("sample_every", [1, 8, SAMPLES, FEW_SAMPLES])
def test_the_share_of_canaries(sample_every: int) -> None:
    """As many as said, and always the same ones."""
    names = [f"job_{number:08x}" for number in range(20_000)]
    sent = [name for name in names if is_control_sample(name, sample_every)]
    assert len(sent) == pytest.approx(len(names) / sample_every, rel=0.35)
    assert sent == [name for name in names if is_control_sample(name, sample_every)]


@pytest.mark.parametrize(
    ("confirmed", "under_way", "expected"),
    [
        (0, 2000, SAMPLES),
        (SETTLING, 2000, FEW_SAMPLES),
        (0, 40, 40 // MIN_SAMPLES),  # a small crowd has some, too
        (0, 4, 1),
        (SETTLING, 20, 20),  # one is enough once the list is known to be right
        (SETTLING, 0, 1),
        (SETTLING, 100_000, 100_000 // MAX_SAMPLES),  # and a large one not too many
    ],
)
def test_of_how_many_one_is_a_canary(confirmed: int, under_way: int, expected: int) -> None:
    """Fewer once the list was seen to be right."""
    assert sample_every(replace(KNOWN, confirmed=confirmed), under_way) == expected


SETTLED = replace(KNOWN, confirmed=SETTLING)
LIMITS = Limits(interval_s=5, floor_s=1, ceiling_s=15)


@given(st.integers(0, 3000), st.integers(0, 100_000), st.floats(0.1, 20))
def test_sweeps_follow_one_another(pages: int, under_way: int, effort: float) -> None:
    """Between floor and interval; sooner only while they cost less than single looks, and a few pages a second."""
    found = gap(pages, under_way, SETTLED, replace(LIMITS, effort=effort))
    assert LIMITS.floor_s <= found <= LIMITS.interval_s
    if found < LIMITS.interval_s:
        assert pages / found <= PAGES_PER_S * effort + 1e-6
        assert pages / found <= WORTH_IT * effort * max(1, under_way) / LIMITS.interval_s + 1e-6


@pytest.mark.parametrize(
    ("pages", "under_way", "seconds"), [(1, 20, 1), (1, 4, 1.5625), (3, 100, 1.5), (6, 250, 3), (20, 1000, 5)]
)
def test_few_are_seen_often(pages: int, under_way: int, seconds: float) -> None:
    """A crowd at the interval."""
    assert gap(pages, under_way, SETTLED, LIMITS) == seconds


def test_nothing_is_spent_on_a_list_that_may_lie() -> None:
    """Before it was seen to be right, its canaries cost nearly what single looks do."""
    assert gap(1, 20, KNOWN, LIMITS) == LIMITS.interval_s


def test_a_fixed_interval_stays_one() -> None:
    """Where that is what the settings ask for."""
    assert gap(1, 20, SETTLED, Limits(interval_s=5, floor_s=5, ceiling_s=5)) == 5


def test_distrust_doubles_up_to_an_hour() -> None:
    """However often."""
    waits = [suspend_s(times) for times in (1, 2, 3, 6, 7, 10_000)]
    assert waits == [SUSPEND_S, 120, 240, 1920, MAX_SUSPEND_S, MAX_SUSPEND_S]


def test_families() -> None:
    """People's own models share one name; PhotoGPT's have each their own; names are bounded."""
    assert duration_group(asking("nanobanana")) == "image:nanobanana"
    assert duration_group(asking("mine-1")) == duration_group(asking("mine-2")) == "image:own"
    assert duration_group(asking("veo-3.1", Kind.VIDEO)) == "video:veo-3.1"
    assert len(duration_group(asking("v" * 5000, Kind.VIDEO))) < 120
    assert duration_group(make_job(Kind.TRAINING)) == "training"
    assert duration_group(make_job(Kind.UPSCALE)) == "upscale"


def asking(model: str, kind: Kind = Kind.IMAGE) -> Job:
    """Return a job for a model."""
    return make_job(kind, request={"modelID": model, "prompt": "a quiet harbour"})


@pytest.mark.parametrize(
    ("last_polled_at", "said", "expected"),
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
    ids=["told", "slack", "too short", "too long", "no number", "never looked", "clock went back", "looked before"],
)
def test_how_long_it_took(last_polled_at: float | None, said: float | None, expected: float) -> None:
    """What PhotoGPT says is believed between the two looks only."""
    job = make_job(submitted_at=CREATED, last_polled_at=last_polled_at)
    assert took(job, at=CREATED + 15, said=said, random_fraction=0.5) == expected


def test_nobody_knows_how_long_it_took() -> None:
    """Of a job whose begin is not known."""
    assert took(make_job(), at=CREATED + 15, said=3.0, random_fraction=0.5) is None


@pytest.mark.parametrize("begin", [None, "", "yesterday", 7, {}])
def test_times_that_cannot_be_read(begin: object) -> None:
    """Say nothing."""
    assert between(begin, "2027-01-01T00:00:00Z") is None
    assert between("2027-01-01T00:00:00Z", "2027-01-01T00:00:04.5Z") == 4.5
