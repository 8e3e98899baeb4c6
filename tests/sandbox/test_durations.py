"""Distributions of durations."""

from random import Random
from statistics import mean, median

import pytest

from worker.sandbox.faults.durations import parse_distribution, parse_duration_option


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("8", 8, 8),
        ("constant:0.5", 0.5, 0.5),
        ("0", 0, 0),
        ("uniform:20:60", 20, 60),
        ("exp:30", 0, 1000),
        ("exp:0", 0, 0),
        ("lognormal:8:0.4", 0.5, 100),
        ("bimodal:5:60:0.1", 5, 60),
    ],
)
def test_a_distribution_stays_in_its_range(text: str, low: float, high: float) -> None:
    """A distribution draws only values inside its range."""
    distribution = parse_distribution(text)
    rng = Random(1)
    assert all(low <= distribution.draw(rng) <= high for _ in range(2000))


def test_distributions_have_their_parameters() -> None:
    """The mean of exp, the median of lognormal and the share of bimodal match their parameters."""
    rng = Random(2)
    assert mean(parse_distribution("exp:30").draw(rng) for _ in range(20_000)) == pytest.approx(30, rel=0.05)
    assert median(parse_distribution("lognormal:8:0.4").draw(rng) for _ in range(20_000)) == pytest.approx(8, rel=0.05)
    draws = [parse_distribution("bimodal:5:60:0.1").draw(rng) for _ in range(20_000)]
    assert draws.count(60) / len(draws) == pytest.approx(0.1, abs=0.01)


def test_the_same_seed_draws_the_same() -> None:
    """The same seed draws the same duration from a distribution."""
    distribution = parse_distribution("lognormal:8:0.4")
    assert [distribution.draw(Random(3)) for _ in range(3)] == [distribution.draw(Random(3)) for _ in range(3)]


@pytest.mark.parametrize(
    "text", ["", "fast", "uniform:1", "uniform:1:2:3", "gamma:1:2", "-3", "exp:nan", "exp:inf", "lognormal:8:x"]
)
def test_an_invalid_distribution_is_refused(text: str) -> None:
    """An invalid distribution is refused with an error that quotes the text."""
    with pytest.raises(ValueError, match=repr(text).replace("(", r"\(")):
        parse_distribution(text)


def test_an_option_names_its_kind() -> None:
    """An option `kind=distribution` is parsed, and an unknown kind is refused with the list of kinds."""
    kind, distribution = parse_duration_option("video=uniform:20:60")
    assert (kind, distribution.text) == ("video", "uniform:20:60")
    with pytest.raises(ValueError, match="image, upscale, video, training, download"):
        parse_duration_option("music=3")
    with pytest.raises(ValueError, match="image"):
        parse_duration_option("8")
