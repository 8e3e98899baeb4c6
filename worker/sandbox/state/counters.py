"""Counters for tests and benchmarks."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from worker.sandbox.state.records import JsonObject


@dataclass(slots=True)
class Counters:
    """Counts since the start or the last reset; generations replayed from the journal are not included."""

    requests: Counter[str] = field(default_factory=Counter)
    answers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By operation, the HTTP codes answered; `dropped` counts closed connections."""
    created: Counter[str] = field(default_factory=Counter)
    polls: Counter[str] = field(default_factory=Counter)
    """GET /jobs/{id} by job id, and GET /models/{id} by model id."""
    end_first_polled: dict[str, float] = field(default_factory=dict)
    """By job id, when GET /jobs/{id} (GET /models/{id} for a training) first showed its end."""
    end_first_listed: dict[str, float] = field(default_factory=dict)
    """By job id, when a page of GET /jobs first showed its end."""
    trainings: Counter[str] = field(default_factory=Counter)
    auth_failures: int = 0
    rate_limited: int = 0
    media_with_key: int = 0
    """Requests for files that had an Authorization header; the API key is for the API only."""
    connections: int = 0
    max_active: int = 0

    def record_end_polled(self, job_id: str, at: float) -> None:
        """Record when a poll showed the end of a job; only the first counts."""
        self.end_first_polled.setdefault(job_id, at)

    def record_end_listed(self, job_id: str, at: float) -> None:
        """Record when a page showed the end of a job; only the first counts."""
        self.end_first_listed.setdefault(job_id, at)

    def as_json(self) -> JsonObject:
        """Return the totals, without the counts by job."""
        return {
            "created": dict(self.created),
            "trainings": dict(self.trainings),
            "requests": dict(self.requests),
            "answers": {operation: dict(codes) for operation, codes in self.answers.items()},
            "list_requests": self.requests["listJobs"],
            "auth_failures": self.auth_failures,
            "rate_limited": self.rate_limited,
            "media_with_key": self.media_with_key,
            "connections": self.connections,
            "max_active": self.max_active,
        }
