"""How long a generation took, and with which others its duration is compared."""

from __future__ import annotations

from worker.domain.job import Job, Kind
from worker.domain.requests import REFERENCE_IMAGES
from worker.domain.times import parse_time

TOLERANCE_S = 1.0  # by which a duration of PhotoGPT's may lie outside of what the polls showed


def duration_group(job: Job) -> str:
    """Return the name of the generations whose durations are similar: of one kind and one model.

    Trained models are many and each is seldom used, so they share one group.
    """
    if job.kind is Kind.VIDEO and job.model_id:
        return f"{job.kind.value}:{job.model_id[:100]}"
    if job.kind is Kind.IMAGE:
        return f"{job.kind.value}:{job.model_id if job.model_id in REFERENCE_IMAGES else 'own'}"
    return job.kind.value


def seconds_between(begin: object, end: object) -> float | None:
    """Return the seconds between two times of PhotoGPT's, or None if one of them is not a time."""
    first, last = parse_time(begin), parse_time(end)
    return None if first is None or last is None else last - first


def measured_duration(job: Job, *, at: float, stated: float | None, random_fraction: float) -> float | None:
    """Return how long a generation took whose end was just polled, in seconds; None if that is unknown.

    It ended after the last poll that showed it under way, and before this one. The duration that PhotoGPT states counts
    if it lies between the two. Otherwise a random point between them counts, so that the times of the polls do not
    shape the histogram.

    Args:
        job: as it was before this poll.
        at: start of this poll, epoch seconds.
        stated: seconds, by PhotoGPT's clock.
        random_fraction: a number in [0, 1) from the caller's generator.
    """
    if job.submitted_at is None:
        return None
    earliest = max(0.0, (job.last_polled_at or job.submitted_at) - job.submitted_at)
    latest = max(earliest, at - job.submitted_at)
    if stated is not None and earliest - TOLERANCE_S <= stated <= latest + TOLERANCE_S:
        return stated
    return earliest + random_fraction * (latest - earliest)
