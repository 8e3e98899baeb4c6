"""Why a job did not succeed, or makes no progress."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reasons that outcomes name. Producers compare them as text."""

    INVALID_REQUEST = "invalid_request"  # the task's arguments, or PhotoGPT's 400
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"  # the key belongs to another request
    UNAUTHORIZED = "unauthorized"  # PhotoGPT rejects the API key
    INSUFFICIENT_CREDITS = "insufficient_credits"
    REFUSED = "refused"  # PhotoGPT refuses for another reason
    NOT_FOUND = "not_found"  # no such model, image or generation
    CONFLICT = "conflict"  # another operation on the same object is in progress
    SCHEDULED = "scheduled"  # the job waits for its start time
    STORING = "storing"  # the generation succeeded, and its files are being stored
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"  # PhotoGPT does not answer, or its answer is unreadable
    TRIGGER_UNCERTAIN = (
        "trigger_uncertain"  # the answer was lost, and PhotoGPT's job list does not show what was created
    )
    GENERATION_FAILED = "generation_failed"  # the generation failed at PhotoGPT
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELED = "canceled"
    INTERNAL_ERROR = "internal_error"  # an error of this service

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed when it is enqueued again, without a second payment."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        Reason.UNAUTHORIZED,
        Reason.CONFLICT,
        Reason.RATE_LIMITED,
        Reason.UNAVAILABLE,
        Reason.INTERNAL_ERROR,
    }
)
