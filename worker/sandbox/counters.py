"""What the sandbox counts for tests and benchmarks."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from worker.sandbox.world import JsonObject


@dataclass(slots=True)
class Counters:
    """Counts since the start or the last reset; generations that the journal brought back are not in them."""

    requests: Counter[str] = field(default_factory=Counter)
    answers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By operation, the HTTP codes answered; `dropped` counts closed connections."""
    created: Counter[str] = field(default_factory=Counter)
    looks: Counter[str] = field(default_factory=Counter)
    """GET /jobs/{id} by job id, and GET /models/{id} by model id."""
    first_ended: dict[str, float] = field(default_factory=dict)
    """By job id, when its end was first told by GET /jobs/{id} (or GET /models/{id} for a training)."""
    end_first_listed: dict[str, float] = field(default_factory=dict)
    """By job id, when a page of GET /jobs first had it as ended."""
    trainings: Counter[str] = field(default_factory=Counter)
    auth_failures: int = 0
    rate_limited: int = 0
    connections: int = 0
    max_active: int = 0

    def told(self, job_id: str, at: float) -> None:
        """Notes that the end of a job was told."""
        self.first_ended.setdefault(job_id, at)

    def listed(self, job_id: str, at: float) -> None:
        """Notes that a page had a job as ended."""
        self.end_first_listed.setdefault(job_id, at)

    def as_json(self) -> JsonObject:
        """The totals, without the lists by job."""
        return {
            "created": dict(self.created),
            "trainings": dict(self.trainings),
            "requests": dict(self.requests),
            "answers": {operation: dict(codes) for operation, codes in self.answers.items()},
            "list_requests": self.requests["listJobs"],
            "auth_failures": self.auth_failures,
            "rate_limited": self.rate_limited,
            "connections": self.connections,
            "max_active": self.max_active,
        }
