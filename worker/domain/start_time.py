"""When a job starts, if it shall not start at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.domain.errors import SubmissionError
from worker.domain.times import epoch

if TYPE_CHECKING:
    from worker.domain.job import Job
    from worker.domain.submission import Submission

MAX_DELAY_S = 366 * 86_400
"""Between acceptance and start."""


def read_time(value: str | float) -> float:
    """Return RFC 3339 text or epoch seconds as epoch seconds. Text without a zone is UTC.

    Raises:
        ValueError: the text is not a time.
    """
    try:
        return epoch(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        raise ValueError("must be a time as RFC 3339 text, 2026-12-24T18:00:00Z, or epoch seconds") from None


def start_time(submission: Submission, *, eta: float | None, at: float) -> float | None:
    """Return when a job starts, epoch seconds; None if it starts at once. The latest of several times counts.

    Args:
        submission: validated.
        eta: of the message (Celery's `eta` or `countdown`), epoch seconds.
        at: time of acceptance, epoch seconds.

    Raises:
        SubmissionError: the start lies too far ahead.
    """
    times = {
        "not_before": None if submission.not_before is None else read_time(submission.not_before),
        "delay_s": None if submission.delay_s is None else at + submission.delay_s,
        "eta": eta,
    }
    given = {name: value for name, value in times.items() if value is not None}
    if not given:
        return None
    field = max(given, key=lambda name: given[name])
    if given[field] > at + MAX_DELAY_S:
        problem = f"is more than {MAX_DELAY_S // 86_400} days ahead; times are seconds, not milliseconds"
        raise SubmissionError(field=field, problem=problem)
    return given[field] if given[field] > at else None


def start_due_at(job: Job) -> float | None:
    """Return when a job with a start time comes due: at its start, or when it expires before; None if it starts now."""
    if job.not_before is None:
        return None
    return job.not_before if job.expires_at is None else min(job.not_before, job.expires_at)
