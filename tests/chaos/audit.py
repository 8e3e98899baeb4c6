"""The audit: compare the records of producers, Redis, PhotoGPT and the receiver."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import redis

from tests.running import ReceivedRequest, keys
from worker.domain.job import JobState

MUST_BE_ZERO = (
    "lost",
    "paid twice",
    "ended twice",
    "results missing",
    "webhooks missing",
    "several webhook ids",
    "totals wrong",
)


@dataclass
class Records:
    """What producers, Redis, PhotoGPT and the receiver have recorded at the end of a run."""

    #: Job ids whose acceptance was confirmed: by our client, or, in the obvious design, by the broker.
    accepted: set[str] = field(default_factory=set)
    #: Job ids that a bare `send_task` gave to the broker of our design; they are as safe as the broker.
    sent: set[str] = field(default_factory=set)
    #: State of each job's record.
    states: dict[str, str] = field(default_factory=dict)
    #: Reason of each job's record.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Jobs whose Celery result is stored.
    published: set[str] = field(default_factory=set)
    #: Terminal events of each job.
    endings: Counter[str] = field(default_factory=Counter)
    #: Times of all events, epoch seconds by Redis' clock.
    progress: list[float] = field(default_factory=list)
    #: Generations and trainings that PhotoGPT created for each job, identified by prompt or model.
    generations: Counter[str] = field(default_factory=Counter)
    #: The webhook ids under which the receiver accepted each job's last event.
    webhooks: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    #: Totals that Redis has counted, by field, and what the records say they should be.
    totals: Counter[str] = field(default_factory=Counter)
    recorded: Counter[str] = field(default_factory=Counter)

    def read_totals(self, client: redis.Redis) -> None:
        """Read the totals, and count the records of jobs and webhooks in the same way; again if a total has changed."""
        before: Counter[str] | None = None
        while before is None or before != self.totals:
            before = self.totals
            self.recorded = recorded_totals(client)
            stored: Any = client.hgetall(keys.totals)
            self.totals = Counter({name: int(number) for name, number in stored.items()})

    def read_events(self, client: redis.Redis, stream: str) -> None:
        """Read the service-wide stream of events."""
        events: Any = client.xrange(stream)
        for entry, fields in events:
            self.progress.append(int(entry.split("-")[0]) / 1000)
            if JobState(fields["type"].split(".")[1]).terminal:
                self.endings[fields["job"]] += 1

    def read_generations(self, generations: list[dict[str, Any]]) -> None:
        """Read the generations that PhotoGPT created."""
        for entry in generations:
            subject = entry["modelID"] if entry["kind"] == "training" else entry["prompt"] or ""
            self.generations[subject.removeprefix("for ").removeprefix("model-")] += 1

    def read_webhooks(self, accepted: list[ReceivedRequest]) -> None:
        """Read the webhooks that the receiver accepted."""
        for received in accepted:
            body = json.loads(received.body)
            if JobState(body["type"].split(".")[1]).terminal:
                self.webhooks[body["data"]["id"]].add(received.headers["webhook-id"])

    @property
    def ended(self) -> set[str]:
        """Return the jobs in a terminal state."""
        return {name for name, state in self.states.items() if JobState(state).terminal}

    def unfinished(self) -> set[str]:
        """Return the jobs that lack an end, a result or a webhook, also those that no worker has seen."""
        return (self.accepted | self.sent) - (self.ended & self.published & self.webhooks.keys())

    def verdict(self) -> dict[str, int]:
        """Return the counts; those in `MUST_BE_ZERO` must be zero."""
        ended, known = self.ended, self.accepted | (self.sent & self.states.keys())
        return {
            "jobs": len(self.accepted | self.sent),
            "lost": len(known - ended),
            "paid twice": sum(1 for count in self.generations.values() if count > 1),
            "ended twice": sum(1 for count in self.endings.values() if count > 1),
            "results missing": len((known & ended) - self.published),
            "webhooks missing": len((known & ended) - self.webhooks.keys()),
            "several webhook ids": sum(1 for ids in self.webhooks.values() if len(ids) > 1),
            "totals wrong": sum((self.totals - self.recorded).values()) + sum((self.recorded - self.totals).values()),
            "bare send_task": len(self.sent),
            "bare send_task, lost by the broker": len(self.sent - self.states.keys()),
            "succeeded": sum(1 for state in self.states.values() if state == "succeeded"),
            "unresolved, not paid again": sum(1 for reason in self.reasons.values() if reason == "trigger_uncertain"),
        }


def recorded_totals(client: Any) -> Counter[str]:
    """Return the totals that follow from the records of jobs and webhooks, by the names of their fields."""
    found: Counter[str] = Counter()
    for key in client.scan_iter(keys.job("*"), count=1000):
        kind, state, reason = client.hmget(key, ["kind", "state", "reason"])
        found[f"jobs_accepted_total:{kind}"] += 1
        if JobState(state).terminal:
            found[f"jobs_ended_total:{kind}:{state}:{reason or 'none'}"] += 1
    for key in client.scan_iter(keys.delivery("*"), count=1000):
        state = client.hget(key, "state")
        if state != "pending":
            found[f"webhooks_ended_total:{state}"] += 1
    return found
