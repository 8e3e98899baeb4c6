"""How long a generation took, as well as it can be told from outside, and with which others it is compared."""

from __future__ import annotations

from worker.domain.job import Job, Kind
from worker.domain.requests import REFERENCE_IMAGES
from worker.domain.times import parse_time

SLACK_S = 1.0  # by which a time that PhotoGPT tells may lie outside of what we saw ourselves


def duration_group(job: Job) -> str:
    """Name the generations that take alike: of one kind, and of one model where it is PhotoGPT's own.

    Models of people's own are many, and each is seldom used: they share one name.
    """
    if job.kind is Kind.VIDEO and job.model_id:
        return f"{job.kind.value}:{job.model_id[:100]}"
    if job.kind is Kind.IMAGE:
        return f"{job.kind.value}:{job.model_id if job.model_id in REFERENCE_IMAGES else 'own'}"
    return job.kind.value


def between(begin: object, end: object) -> float | None:
    """Return the seconds between two times as PhotoGPT tells them, or None if they cannot be read."""
    first, last = parse_time(begin), parse_time(end)
    return None if first is None or last is None else last - first


def took(job: Job, *, at: float, said: float | None, random_fraction: float) -> float | None:
    """Return how long a generation took whose end was just seen; None if that cannot be told.

    It ended after the last look at which it had not, and before this one. What PhotoGPT says itself is believed if it
    lies between the two; otherwise a place between them is drawn, so that the looks do not draw the histogram.

    Args:
        job: as it was before this look.
        at: when this look began, epoch seconds.
        said: seconds, by PhotoGPT's own clock.
        random_fraction: a number in [0, 1) from the caller's generator.
    """
    if job.submitted_at is None:
        return None
    earliest = max(0.0, (job.last_polled_at or job.submitted_at) - job.submitted_at)
    latest = max(earliest, at - job.submitted_at)
    if said is not None and earliest - SLACK_S <= said <= latest + SLACK_S:
        return said
    return earliest + random_fraction * (latest - earliest)
