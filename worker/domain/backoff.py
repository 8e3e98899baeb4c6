"""How long to wait before trying again. Randomness and time are arguments."""

from __future__ import annotations

LARGEST_EXPONENT = 32  # 2**32 of anything is past every cap, and no float overflows


def exponential(attempt: int, *, base: float, cap: float, random_fraction: float) -> float:
    """Return seconds to wait after `attempt` failures (from 1): doubling, capped, half of it jittered.

    Args:
        attempt: failures so far; smaller than 1 counts as 1.
        base: seconds after the first failure.
        cap: never more seconds than this.
        random_fraction: a number in [0, 1) from the caller's generator.
    """
    exponent = min(max(attempt, 1) - 1, LARGEST_EXPONENT)
    delay: float = min(cap, base * 2**exponent)
    return delay * (0.5 + 0.5 * random_fraction)


def jittered(seconds: float, *, spread: float, random_fraction: float) -> float:
    """Return `seconds` moved by up to `spread` (a fraction) either way."""
    return seconds * (1 - spread + 2 * spread * random_fraction)


def obeying(retry_after: float | None, planned: float, *, cap: float) -> float:
    """Return the longer of the plan and what the other side asked for, which is believed up to `cap` seconds."""
    return planned if retry_after is None else max(planned, min(retry_after, cap))
