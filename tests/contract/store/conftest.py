"""The store on a real Valkey. Every test fails that leaves a key without a TTL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from config.settings import Settings
from tests.contract.workers import token_of
from tests.running import keys
from tests.unit.factories import ended, make_job
from worker.domain.decision import Submitted
from worker.domain.delivery import Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.job import Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, Outcome
from worker.domain.times import rfc3339
from worker.store import deliveries
from worker.store import keys as keys_page
from worker.store.codec import FIELDS, decode
from worker.store.endpoints import Admitted, Deferred, Rejected, SlotWait
from worker.store.keys import ID
from worker.store.lanes import Claim, Tick
from worker.store.records import AttemptRecorded, AttemptReport, JobAccepted
from worker.store.store import Store, open_store

PERMANENT = [
    re.compile(re.sub(r"<\w+>", r"\\w+", row.split("`")[1]) + r"\Z")
    for row in (keys_page.__doc__ or "").splitlines()
    if row.startswith("| `") and "| never;" in row
]
"""The keys that never expire by the table in keys.py: a fixed number."""


@pytest.fixture
def store_settings(valkey: Any) -> Settings:
    """Settings whose retentions differ, so that a test can distinguish them."""
    return Settings(_env_file=None, redis_url=valkey.url, retention_s=5000, idempotency_ttl_s=700)


@pytest.fixture(autouse=True)
def every_key_expires(client: redis.Redis) -> Iterator[None]:
    """Fail a test that leaves a key without a TTL."""
    yield
    permanent = [
        name for name in client.scan_iter(match="photogpt:*") if client.ttl(name) == -1
    ]  # other keys are kombu's
    assert [name for name in permanent if not any(allowed.match(name) for allowed in PERMANENT)] == []


@dataclass(frozen=True)
class Ended:
    """What came of the end of a job."""

    outcome: Outcome
    continuation: str | None
    ticks: list[Tick]


@dataclass
class Line:
    """Moves jobs from state to state as the steps do."""

    store: Store
    client: Any  # redis-py's answers are typed for two clients at once
    ticks: list[Tick]
    made: int = 0

    def published(self) -> list[Tick]:
        """Return the ticks that the store has published since the last call."""
        found = self.ticks.copy()
        self.ticks.clear()
        return found

    def finish(self, job: Job, result: JobResult, *, polled: bool = False, **options: Any) -> Ended | None:
        """End a job as a step does; None if it had ended or moved on."""
        self.published()
        final = ended(job, result, at=self.store.clock(), polled=polled)
        finished = self.store.jobs.finish(job, final, None, polled=polled, **options)
        return None if finished is None else Ended(final, finished.continuation, self.published())

    def job(self, kind: Kind = Kind.IMAGE, **changes: Any) -> Job:
        """Return a job that is created now, with a new id."""
        self.made += 1
        now = round(self.store.clock(), 3)
        return make_job(kind, **{"id": f"job-{self.made}", "created_at": now, "deadline_at": now + 3600} | changes)

    def accept(self, job: Job, *, digest: str = "digest", continuation: str = '{"task":"t"}') -> list[Tick]:
        """Accept a job, which must succeed; return the ticks that this publishes."""
        self.published()
        answer = self.store.jobs.accept(job, digest=digest, continuation=continuation)
        assert isinstance(answer, JobAccepted)
        return self.published()

    def accepted(self, kind: Kind = Kind.IMAGE, **changes: Any) -> Job:
        """Return an accepted job."""
        job = self.job(kind, **changes)
        self.accept(job)
        return job

    def submitted(self, kind: Kind = Kind.IMAGE, generation: str | None = "g-1", **changes: Any) -> Job:
        """Return a submitted job that is due for its poll."""
        job = self.accepted(kind, **changes)
        assert self.store.jobs.record_intent(job)
        assert self.store.jobs.mark_submitted(job, Submitted(generation), poll_after=0)
        return self.read(job)

    def read(self, job: Job) -> Job:
        """Return the job as it is stored."""
        found = self.store.jobs.get(job.id)
        assert found is not None
        return found

    def open_intents(self) -> list[str]:
        """Return the ids of the jobs with an unresolved trigger."""
        return [intent.job_id for intent in self.store.generations.open_intents(0)]

    def token(self, lane: Lane) -> str:
        """Return the token that the next tick of a lane has to carry."""
        return token_of(self.client, lane)

    def claim(self, lane: Lane, *, token: str | None = None, limit: int = 64, lease_s: float = 30) -> Claim | None:
        """Claim as a tick does."""
        return self.store.lanes.claim(
            lane, token or self.token(lane), limit=limit, lease_s=lease_s, pattern=keys.job(ID), fields=FIELDS
        )

    def claimed(self, lane: Lane, **options: Any) -> list[Job]:
        """Return the jobs of a claim, which must not be stale."""
        found = self.claim(lane, **options)
        assert found is not None
        return [decode(record) for record in found.records]

    def lanes_of(self, job_id: str) -> set[Lane]:
        """Return the lanes that a job is in."""
        return {lane for lane in Lane if self.client.zscore(keys.lane(lane), job_id) is not None}

    def due_in(self, lane: Lane, member: str) -> float:
        """Return the seconds until a member is due, by Redis itself: `ServerClock` lags by a round trip."""
        seconds, microseconds = self.client.time()
        return float(self.client.zscore(keys.lane(lane), member)) - float(seconds + microseconds / 1e6)

    def make_due(self, lane: Lane, *members: str) -> None:
        """Make some members due."""
        for member in members:
            self.client.zadd(keys.lane(lane), {member: self.store.clock() - 1}, xx=True)

    def events(self, job: Job) -> list[str]:
        """Return the types of a job's events."""
        return [fields["type"] for _, fields in self.client.xrange(keys.events(job.id))]

    def ttl(self, name: str) -> int:
        """Return the seconds that a key has left."""
        return int(self.client.ttl(name))


@pytest.fixture
def line(store: Store, client: redis.Redis, ticks: list[Tick]) -> Line:
    """Jobs in an empty store."""
    return Line(store, client, ticks)


# -- webhooks -------------------------------------------------------------------------------------------------------


URL = "https://shop.example/hooks?order=7"
ENDPOINT = endpoint_of(URL)
FAILED = AttemptReport(result="failed", duration_s=0.05, fault="http_5xx")
OPENS_AFTER = 5  # failures in a row; MAX_FAILURES in worker/store/lua/lib/endpoint_health.lua
ACCEPTED = AttemptReport(result="ok", duration_s=0.05)


class Hooks:
    """Webhooks of ended jobs, moved as the steps do."""

    def __init__(self, line: Line) -> None:
        """Use the jobs of a line."""
        self.line = line
        self.store = line.store
        self.client = line.client

    def made(self, url: str = URL) -> Delivery:
        """Return the webhook of a new job that has failed."""
        job = self.line.submitted(webhook_url=url, generation=f"g-{self.line.made}")
        assert self.line.finish(job, JobResult(state=JobState.FAILED)) is not None
        (shown,) = self.store.delivery_history.of_job(job.id)
        return self.read(shown["id"])

    def read(self, delivery_id: str) -> Delivery:
        """Return a webhook as the next claim returns it."""
        return deliveries.decode(self.client.hmget(keys.delivery(delivery_id), deliveries.FIELDS))

    def acquire_slot(
        self, delivery: Delivery, *, random_fraction: float = 0.5
    ) -> Admitted | SlotWait | Deferred | Rejected | None:
        """Acquire a slot."""
        return self.store.endpoints.acquire_slot(self.read(delivery.id), random_fraction=random_fraction)

    def record_attempt(
        self, delivery: Delivery, report: AttemptReport = ACCEPTED, state: str = "", after: float = 5
    ) -> AttemptRecorded:
        """Record an attempt."""
        delivery = self.read(delivery.id)
        state = state or ("delivered" if report.result in {"ok", "slow"} else "pending")
        attempt = {"number": delivery.attempts + 1, "at": rfc3339(self.store.clock()), "trigger": "scheduled"}
        return self.store.deliveries.record_attempt(delivery, attempt, state=state, retry_in_s=after, report=report)

    def fail(self, times: int, report: AttemptReport = FAILED, url: str = URL) -> None:
        """Let webhooks fail one after another."""
        for _ in range(times):
            delivery = self.made(url)
            assert isinstance(self.acquire_slot(delivery), Admitted)
            self.record_attempt(delivery, report)

    def open_circuit(self) -> None:
        """Let the endpoint fail until its circuit opens."""
        self.fail(OPENS_AFTER - int(self.shown.get("failures", 0)))

    def pass_time(self, *fields: str) -> None:
        """Move times in the endpoint's record into the past."""
        for name in fields or ("open_until",):
            self.client.hset(keys.endpoint(ENDPOINT.id), name, self.store.clock() - 0.1)

    def due_in(self, delivery: Delivery) -> float:
        """Return the seconds until a webhook is due in the lane of redeliveries."""
        assert self.line.lanes_of(delivery.id) == {Lane.REDELIVERIES}
        return self.line.due_in(Lane.REDELIVERIES, delivery.id)

    @property
    def shown(self) -> dict[str, Any]:
        """The health of the endpoint."""
        return self.store.endpoints.get(ENDPOINT.id) or {}


@pytest.fixture
def hooks(line: Line) -> Hooks:
    """Webhooks in an empty store."""
    return Hooks(line)


WithSettings = Callable[..., Hooks]


@pytest.fixture
def with_settings(line: Line, store: Store, store_settings: Settings) -> Iterator[WithSettings]:
    """Return webhooks in a store with other settings."""
    opened: list[Store] = []

    def make(**settings: Any) -> Hooks:
        opened.append(open_store(store_settings.model_copy(update=settings), line.ticks.append))
        line.store = opened[-1]
        return Hooks(line)

    yield make
    line.store = store
    for each in opened:
        each.close()
