"""Why a job is where it is. A state drives, a reason reports."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a job did not succeed, or what it is waiting for."""

    INVALID_REQUEST = "invalid_request"  # the arguments, or PhotoGPT's 400
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"  # the key was used with another body
    UNAUTHORIZED = "unauthorized"  # the API key is not accepted
    INSUFFICIENT_CREDITS = "insufficient_credits"
    REFUSED = "refused"  # any other definite no
    NOT_FOUND = "not_found"  # no such model, image or generation
    CONFLICT = "conflict"  # another operation is in the way
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"  # PhotoGPT does not answer, or not in a way one can read
    TRIGGER_UNCERTAIN = "trigger_uncertain"  # the answer was lost and the job list does not decide
    GENERATION_FAILED = "generation_failed"  # PhotoGPT tried and failed
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELED = "canceled"
    INTERNAL_ERROR = "internal_error"  # ours

    @property
    def retryable(self) -> bool:
        """Whether the same request, enqueued again, may succeed without anybody paying twice for one wish."""
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
