"""Durations of generations: distributions written as short texts, drawn with the caller's random numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

DEFAULT_DURATIONS = {"image": "8", "upscale": "5", "video": "20", "training": "60", "download": "2"}
"""Seconds from trigger to end, by kind; `download` is the preparation of a video file."""

DISTRIBUTIONS_HELP = "SECONDS | uniform:LOW:HIGH | exp:MEAN | lognormal:MEDIAN:SIGMA | bimodal:FAST:SLOW:SHARE_OF_SLOW"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of durations, with the text that defines it."""

    text: str
    sample: Callable[[Random], float]

    def draw(self, rng: Random) -> float:
        """Draw one duration in seconds, never negative."""
        return max(0.0, self.sample(rng))


def parse_distribution(text: str) -> Distribution:
    """Parse a distribution.

    Raises:
        ValueError: the text is not a distribution; the message lists the forms.
    """
    name, _, parameters = text.partition(":") if ":" in text else ("constant", "", text)
    numbers = _numbers(text, parameters)
    if name not in _SAMPLERS or len(numbers) != _SAMPLERS[name][0]:
        raise ValueError(f"{text!r} is not a duration; write {DISTRIBUTIONS_HELP}")
    sampler = _SAMPLERS[name][1]
    return Distribution(text, lambda rng: sampler(rng, *numbers))


def parse_duration_option(text: str) -> tuple[str, Distribution]:
    """Parse `kind=distribution`, for example `image=lognormal:8:0.4`."""
    kind, separator, distribution = text.partition("=")
    if not separator or kind not in DEFAULT_DURATIONS:
        raise ValueError(f"{text!r} does not start with one of {', '.join(DEFAULT_DURATIONS)} and '='")
    return kind, parse_distribution(distribution)


def _numbers(text: str, parameters: str) -> list[float]:
    try:
        numbers = [float(part) for part in parameters.split(":")]
    except ValueError:
        raise ValueError(f"{text!r} is not a duration; write {DISTRIBUTIONS_HELP}") from None
    if any(number < 0 or not math.isfinite(number) for number in numbers):
        raise ValueError(f"{text!r} contains a number that is negative or not finite")
    return numbers


def _constant(_rng: Random, seconds: float) -> float:
    return seconds


def _uniform(rng: Random, low: float, high: float) -> float:
    return rng.uniform(low, high)


def _exponential(rng: Random, mean: float) -> float:
    return rng.expovariate(1.0 / mean) if mean else 0.0


def _lognormal(rng: Random, median: float, sigma: float) -> float:
    return median * math.exp(rng.gauss(0.0, sigma))


def _bimodal(rng: Random, fast: float, slow: float, share_of_slow: float) -> float:
    return slow if rng.random() < share_of_slow else fast


_SAMPLERS: dict[str, tuple[int, Callable[..., float]]] = {
    "constant": (1, _constant),
    "uniform": (2, _uniform),
    "exp": (1, _exponential),
    "lognormal": (2, _lognormal),
    "bimodal": (3, _bimodal),
}
