"""Measures requests to PhotoGPT for the metrics."""

from __future__ import annotations

import time
from types import TracebackType

from worker.domain.errors import ApiError, Conflict, Refused, Throttled, Unauthorized
from worker.telemetry import recorder
from worker.telemetry.labels import ApiOutcome, Operation
from worker.telemetry.metrics import API_DURATION, API_REQUESTS, KEY_REJECTED

OUTCOMES: tuple[tuple[type[ApiError], ApiOutcome], ...] = (
    (Refused, ApiOutcome.REFUSED),
    (Unauthorized, ApiOutcome.UNAUTHORIZED),
    (Throttled, ApiOutcome.THROTTLED),
    (Conflict, ApiOutcome.CONFLICT),
)


class Measured:
    """Measures one request: its sending and the reading of its answer stand in the `with` block."""

    __slots__ = ("_operation", "_started")

    def __init__(self, operation: Operation) -> None:
        """Measure from `with` on."""
        self._operation = operation

    def __enter__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Record duration and outcome; errors go on."""
        outcome = outcome_of(error)
        recorder.observe(API_DURATION, time.monotonic() - self._started, self._operation)
        recorder.count(API_REQUESTS, self._operation, outcome)
        if outcome is not ApiOutcome.NO_ANSWER:
            recorder.set_gauge(KEY_REJECTED, outcome is ApiOutcome.UNAUTHORIZED)


def outcome_of(error: BaseException | None) -> ApiOutcome:
    """Return how a request ended, given what it raised."""
    if error is None:
        return ApiOutcome.OK
    for kind, outcome in OUTCOMES:
        if isinstance(error, kind):
            return outcome
    status = getattr(error, "status", None)
    if status is None:
        return ApiOutcome.NO_ANSWER
    return ApiOutcome.INVALID_ANSWER if 200 <= status < 300 else ApiOutcome.SERVER_ERROR
