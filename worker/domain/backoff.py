"""How long to wait before a retry. Randomness and time are arguments."""

from __future__ import annotations

MAX_EXPONENT = 32  # keeps 2**n far below a float's limit; every cap is reached long before
KEY_CHECK_S = 15.0  # between two calls with an API key that PhotoGPT rejects
MAX_RETRY_AFTER_S = 600.0  # of a Retry-After header, where a job waits for it


def exponential(attempt: int, *, base: float, cap: float, random_fraction: float) -> float:
    """Return seconds to wait after `attempt` failures (from 1): doubling, capped, half of it jittered.

    Args:
        attempt: failures so far; smaller than 1 counts as 1.
        base: seconds after the first failure.
        cap: never more seconds than this.
        random_fraction: a number in [0, 1) from the caller's generator.
    """
    exponent = min(max(attempt, 1) - 1, MAX_EXPONENT)
    delay: float = min(cap, base * 2**exponent)
    return delay * (0.5 + 0.5 * random_fraction)


def jittered(seconds: float, *, spread: float, random_fraction: float) -> float:
    """Return `seconds` moved by up to `spread` (a fraction) either way."""
    return seconds * (1 - spread + 2 * spread * random_fraction)


def obeying(retry_after: float | None, planned: float, *, cap: float) -> float:
    """Return the longer of the planned wait and of a Retry-After, which counts up to `cap` seconds."""
    return planned if retry_after is None else max(planned, min(retry_after, cap))
