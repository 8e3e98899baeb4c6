"""The laws of durations."""

from random import Random
from statistics import mean, median

import pytest

from worker.sandbox.durations import parse_duration_option, parse_law


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
def test_a_law_stays_in_its_range(text: str, low: float, high: float) -> None:
    """No draw lies outside of what the law allows."""
    law = parse_law(text)
    rng = Random(1)
    assert all(low <= law.draw(rng) <= high for _ in range(2000))


def test_laws_have_their_middle_where_they_say() -> None:
    """The mean of exp and the median of lognormal are the numbers given, and bimodal has its share."""
    rng = Random(2)
    assert mean(parse_law("exp:30").draw(rng) for _ in range(20_000)) == pytest.approx(30, rel=0.05)
    assert median(parse_law("lognormal:8:0.4").draw(rng) for _ in range(20_000)) == pytest.approx(8, rel=0.05)
    draws = [parse_law("bimodal:5:60:0.1").draw(rng) for _ in range(20_000)]
    assert draws.count(60) / len(draws) == pytest.approx(0.1, abs=0.01)


def test_the_same_seed_draws_the_same() -> None:
    """A law has no randomness of its own."""
    law = parse_law("lognormal:8:0.4")
    assert [law.draw(Random(3)) for _ in range(3)] == [law.draw(Random(3)) for _ in range(3)]


@pytest.mark.parametrize(
    "text", ["", "fast", "uniform:1", "uniform:1:2:3", "gamma:1:2", "-3", "exp:nan", "exp:inf", "lognormal:8:x"]
)
def test_what_is_no_law_is_refused_with_the_text(text: str) -> None:
    """The complaint repeats what was written."""
    with pytest.raises(ValueError, match=repr(text).replace("(", r"\(")):
        parse_law(text)


def test_an_option_names_its_kind() -> None:
    """`kind=law` is read, and an unknown kind is refused with those there are."""
    kind, law = parse_duration_option("video=uniform:20:60")
    assert (kind, law.text) == ("video", "uniform:20:60")
    with pytest.raises(ValueError, match="image, upscale, video, training, download"):
        parse_duration_option("music=3")
    with pytest.raises(ValueError, match="image"):
        parse_duration_option("8")
