"""Delays between retries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.backoff import exponential, jittered, obeying

fractions = st.floats(min_value=0, max_value=1, exclude_max=True)
seconds = st.floats(min_value=0.001, max_value=1e6)


@pytest.mark.parametrize(
    ("attempt", "expected"), [(-3, 1.0), (0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10**9, 60.0)]
)
def test_doubling_up_to_the_cap(attempt: int, expected: float) -> None:
    """The delay doubles up to the cap, and jitter takes off up to half of it."""
    assert exponential(attempt, base=1, cap=60, random_fraction=1) == expected
    assert exponential(attempt, base=1, cap=60, random_fraction=0) == expected / 2


@given(attempt=st.integers(), base=seconds, cap=seconds, random_fraction=fractions)
def test_a_delay_is_finite_and_within_its_bounds(attempt: int, base: float, cap: float, random_fraction: float) -> None:
    """A delay is finite and between half the base and the cap for every number of failures."""
    delay = exponential(attempt, base=base, cap=cap, random_fraction=random_fraction)
    assert math.isfinite(delay)
    assert min(base, cap) / 2 <= delay <= cap


@given(attempt=st.integers(min_value=1, max_value=100), base=seconds, cap=seconds, random_fraction=fractions)
def test_a_delay_never_shrinks(attempt: int, base: float, cap: float, random_fraction: float) -> None:
    """With the same random fraction, a further failure waits at least as long."""
    first, second = (
        exponential(attempt + more, base=base, cap=cap, random_fraction=random_fraction) for more in (0, 1)
    )
    assert first <= second


@given(planned=seconds, spread=st.floats(min_value=0, max_value=1), random_fraction=fractions)
def test_jitter_stays_in_its_spread(planned: float, spread: float, random_fraction: float) -> None:
    """Jitter moves a delay by no more than its spread."""
    moved = jittered(planned, spread=spread, random_fraction=random_fraction)
    assert planned * (1 - spread) * 0.999999 <= moved <= planned * (1 + spread) * 1.000001


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(None, 5), (0, 5), (4, 5), (30, 30), (60, 60), (61, 60), (math.inf, 60)]
)
def test_a_retry_after_counts_up_to_the_cap(retry_after: float | None, expected: float) -> None:
    """A Retry-After lengthens the planned wait, up to the cap."""
    assert obeying(retry_after, 5, cap=60) == expected
