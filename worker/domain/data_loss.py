"""What is known when Redis has lost data, and the sentence that says it."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.times import rfc3339

RUNBOOK = "ops/runbooks/redis-lost-data.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataLoss:
    """Redis does not hold what a worker saw in it. Times are Redis', epoch seconds."""

    #: When a worker noticed it.
    noticed_at: float
    #: When that worker last saw the data.
    last_seen_at: float
    #: Whether all is gone; otherwise Redis went back to an older state.
    complete: bool
    #: When that older state was written; None if it is not known, or if all is gone.
    restored_to: float | None
    #: Generations and trainings that were in flight when the worker last saw the data.
    in_flight: int

    def __str__(self) -> str:
        """Return what is lost and what to do, for the log and for `status`."""
        until = rfc3339(self.last_seen_at)
        if self.complete:
            lost = f"Redis has lost its data: what it stored before {until} is gone"
        else:
            since = rfc3339(self.restored_to) if self.restored_to else "an unknown time"
            lost = f"Redis went back to older data: what it stored from {since} to {until} is lost"
        return f"{lost}; generations in flight then: {self.in_flight}, which PhotoGPT may finish; what to do: {RUNBOOK}"
