"""The audit: four books that have to agree."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import redis

from tests.running import ReceivedRequest
from worker.domain.job import JobState

MUST_BE_NOUGHT = ("lost", "paid twice", "ended twice", "results missing", "webhooks missing", "webhook ids forked")


@dataclass
class Books:
    """What each side knows, once everything has come to rest."""

    #: Ids that producers were told are accepted: by our client, or, in the obvious design, by the broker.
    accepted: set[str] = field(default_factory=set)
    #: Ids that a bare `send_task` handed to the broker of our design: as safe as the broker.
    default_continuation: set[str] = field(default_factory=set)
    #: State of each job's record.
    ledger: dict[str, str] = field(default_factory=dict)
    #: Reason of each job's record.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Jobs whose Celery result is stored.
    published: set[str] = field(default_factory=set)
    #: Terminal events of each job.
    endings: Counter[str] = field(default_factory=Counter)
    #: When something happened, epoch seconds by Redis' clock.
    progress: list[float] = field(default_factory=list)
    #: Generations and trainings that PhotoGPT created for each job, told by the prompt or the model.
    generations: Counter[str] = field(default_factory=Counter)
    #: Ids under which each job's last webhook was taken.
    webhooks: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def read_events(self, client: redis.Redis, stream: str) -> None:
        """Read the service-wide stream."""
        events: Any = client.xrange(stream)
        for entry, fields in events:
            self.progress.append(int(entry.split("-")[0]) / 1000)
            if JobState(fields["type"].split(".")[1]).terminal:
                self.endings[fields["job"]] += 1

    def read_generations(self, generations: list[dict[str, Any]]) -> None:
        """Read what PhotoGPT created."""
        for entry in generations:
            told = entry["modelID"] if entry["kind"] == "training" else entry["prompt"] or ""
            self.generations[told.removeprefix("for ").removeprefix("model-")] += 1

    def read_webhooks(self, taken: list[ReceivedRequest]) -> None:
        """Read what the receiver took."""
        for received in taken:
            body = json.loads(received.body)
            if JobState(body["type"].split(".")[1]).terminal:
                self.webhooks[body["data"]["id"]].add(received.headers["webhook-id"])

    @property
    def ended(self) -> set[str]:
        """Jobs with a last state."""
        return {name for name, state in self.ledger.items() if JobState(state).terminal}

    def unfinished(self) -> set[str]:
        """Return jobs that have not come to rest. A bare one that no worker has seen is one of them."""
        return (self.accepted | self.default_continuation) - (self.ended & self.published & self.webhooks.keys())

    def verdict(self) -> dict[str, int]:
        """Return the counts; those of `MUST_BE_NOUGHT` have to be nought."""
        ended, known = self.ended, self.accepted | (self.default_continuation & self.ledger.keys())
        return {
            "jobs": len(self.accepted | self.default_continuation),
            "lost": len(known - ended),
            "paid twice": sum(1 for count in self.generations.values() if count > 1),
            "ended twice": sum(1 for count in self.endings.values() if count > 1),
            "results missing": len((known & ended) - self.published),
            "webhooks missing": len((known & ended) - self.webhooks.keys()),
            "webhook ids forked": sum(1 for ids in self.webhooks.values() if len(ids) > 1),
            "bare send_task": len(self.default_continuation),
            "bare send_task, lost by the broker": len(self.default_continuation - self.ledger.keys()),
            "succeeded": sum(1 for state in self.ledger.values() if state == "succeeded"),
            "in doubt, not paid again": sum(1 for reason in self.reasons.values() if reason == "trigger_uncertain"),
        }
