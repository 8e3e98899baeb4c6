"""How long generations take: laws written as short texts, drawn with the caller's own random numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

DEFAULT_DURATIONS = {"image": "8", "upscale": "5", "video": "20", "training": "60", "download": "2"}
"""Seconds from trigger to end, by kind; `download` is the preparation of a video file."""

LAWS_HELP = "SECONDS | uniform:LOW:HIGH | exp:MEAN | lognormal:MEDIAN:SIGMA | bimodal:FAST:SLOW:SHARE_OF_SLOW"


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution of durations, together with the text it was read from."""

    text: str
    sample: Callable[[Random], float]

    def draw(self, rng: Random) -> float:
        """One duration in seconds, never negative."""
        return max(0.0, self.sample(rng))


def parse_law(text: str) -> Law:
    """Reads a law; a text that is none is a ValueError which names the forms there are."""
    name, _, rest = text.partition(":") if ":" in text else ("constant", "", text)
    numbers = _numbers(text, rest)
    if name not in _LAWS or len(numbers) != _LAWS[name][0]:
        raise ValueError(f"{text!r} is no duration; write {LAWS_HELP}")
    sampler = _LAWS[name][1]
    return Law(text, lambda rng: sampler(rng, *numbers))


def parse_duration_option(text: str) -> tuple[str, Law]:
    """Reads `kind=law`, for example `image=lognormal:8:0.4`."""
    kind, separator, law = text.partition("=")
    if not separator or kind not in DEFAULT_DURATIONS:
        raise ValueError(f"{text!r} does not begin with one of {', '.join(DEFAULT_DURATIONS)} and '='")
    return kind, parse_law(law)


def _numbers(text: str, rest: str) -> list[float]:
    try:
        numbers = [float(part) for part in rest.split(":")]
    except ValueError:
        raise ValueError(f"{text!r} is no duration; write {LAWS_HELP}") from None
    if any(number < 0 or not math.isfinite(number) for number in numbers):
        raise ValueError(f"{text!r} holds a number that is negative or not finite")
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


_LAWS: dict[str, tuple[int, Callable[..., float]]] = {
    "constant": (1, _constant),
    "uniform": (2, _uniform),
    "exp": (1, _exponential),
    "lognormal": (2, _lognormal),
    "bimodal": (3, _bimodal),
}
