"""The ledger on a real Valkey, and a watch over what is left in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from config.settings import Settings
from tests.unit.factories import ended, make_job
from worker.domain.decision import Submitted
from worker.domain.delivery import Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult, Outcome
from worker.domain.times import rfc3339
from worker.store import deliveries, keys
from worker.store.codec import FIELDS, decode
from worker.store.connection import Store, open_store
from worker.store.deliveries import AttemptRecorded, AttemptReport
from worker.store.endpoints import OPENS_AFTER, Admitted, Deferred, Rejected, SlotWait
from worker.store.keys import Lane
from worker.store.lanes import Claim, Tick
from worker.store.records import JobAccepted

PERMANENT = [
    re.compile(re.sub(r"<\w+>", r"\\w+", row.split("`")[1]) + r"\Z")
    for row in (keys.__doc__ or "").splitlines()
    if row.startswith("| `") and "| never;" in row
]
"""What the key table documents as never ending, with the reason: a fixed number of keys."""


@pytest.fixture
def store_settings(valkey: Any) -> Settings:
    """Short enough to tell lifetimes apart."""
    return Settings(_env_file=None, redis_url=valkey.url, retention_s=5000, idempotency_ttl_s=700)


@pytest.fixture(autouse=True)
def every_key_ends(client: redis.Redis) -> Iterator[None]:
    """Fail the test that leaves a key without an end."""
    yield
    endless = [name for name in client.scan_iter(match="photogpt:*") if client.ttl(name) == -1]  # others are kombu's
    assert [name for name in endless if not any(allowed.match(name) for allowed in PERMANENT)] == []


@dataclass(frozen=True)
class Ended:
    """What came of the end of a job."""

    outcome: Outcome
    continuation: str | None
    ticks: list[Tick]


@dataclass
class Line:
    """Moves jobs along the line as the pipeline does."""

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
        """Return a job of now, with an id of its own."""
        self.made += 1
        now = round(self.store.clock(), 3)
        return make_job(kind, **{"id": f"job-{self.made}", "created_at": now, "deadline_at": now + 3600} | changes)

    def accept(self, job: Job, *, digest: str = "digest", continuation: str = '{"task":"t"}') -> list[Tick]:
        """Accept it, which must succeed."""
        self.published()
        answer = self.store.jobs.accept(job, digest=digest, continuation=continuation)
        assert isinstance(answer, JobAccepted)
        return self.published()

    def accepted(self, kind: Kind = Kind.IMAGE, **changes: Any) -> Job:
        """Return a job that was accepted."""
        job = self.job(kind, **changes)
        self.accept(job)
        return job

    def submitted(self, kind: Kind = Kind.IMAGE, generation: str | None = "g-1", **changes: Any) -> Job:
        """Return a job that PhotoGPT took, to be looked at at once."""
        job = self.accepted(kind, **changes)
        assert self.store.jobs.record_intent(job)
        assert self.store.jobs.mark_submitted(job, Submitted(generation), poll_after=0)
        return self.read(job)

    def read(self, job: Job) -> Job:
        """Return the job as the ledger has it."""
        found = self.store.jobs.get(job.id)
        assert found is not None
        return found

    def token(self, lane: Lane) -> str:
        """Return the token that the next tick of a lane has to carry."""
        return str(self.client.hget(keys.loop(lane), "token"))

    def claim(self, lane: Lane, *, token: str | None = None, limit: int = 64, lease: float = 30) -> Claim | None:
        """Claim as a tick does."""
        return self.store.lanes.claim(
            lane, token or self.token(lane), limit=limit, lease=lease, prefix=keys.JOB, fields=FIELDS
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
        """Return the seconds until a member comes due, by Redis itself: our copy of its clock lags by a round trip."""
        seconds, microseconds = self.client.time()
        return float(self.client.zscore(keys.lane(lane), member)) - float(seconds + microseconds / 1e6)

    def make_due(self, lane: Lane, *members: str) -> None:
        """Let time pass for some members."""
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
    """The line on an empty ledger."""
    return Line(store, client, ticks)


# -- webhooks -------------------------------------------------------------------------------------------------------


URL = "https://shop.example/hooks?order=7"
ENDPOINT = endpoint_of(URL)
FAILED = AttemptReport(result="failed", duration_s=0.05, fault="http_5xx")
TAKEN = AttemptReport(result="ok", duration_s=0.05)


class Hooks:
    """Webhooks of jobs that ended, moved as the pipeline does."""

    def __init__(self, line: Line) -> None:
        """Use the line."""
        self.line = line
        self.store = line.store
        self.client = line.client

    def made(self, url: str = URL) -> Delivery:
        """Return the webhook of a fresh job."""
        job = self.line.submitted(webhook_url=url, generation=f"g-{self.line.made}")
        assert self.line.finish(job, JobResult(state=JobState.FAILED)) is not None
        (shown,) = self.store.deliveries.of_job(job.id)
        return self.read(shown["id"])

    def read(self, delivery_id: str) -> Delivery:
        """Return a webhook as the next claim hands it out."""
        return deliveries.decode(self.client.hmget(keys.delivery(delivery_id), deliveries.FIELDS))

    def acquire_slot(
        self, delivery: Delivery, *, random_fraction: float = 0.5
    ) -> Admitted | SlotWait | Deferred | Rejected | None:
        """Ask the gate."""
        return self.store.endpoints.acquire_slot(self.read(delivery.id), random_fraction=random_fraction)

    def record_attempt(
        self, delivery: Delivery, report: AttemptReport = TAKEN, state: str = "", after: float = 5
    ) -> AttemptRecorded:
        """Report an attempt."""
        delivery = self.read(delivery.id)
        state = state or ("delivered" if report.result in {"ok", "slow"} else "pending")
        attempt = {"number": delivery.attempts + 1, "at": rfc3339(self.store.clock()), "trigger": report.trigger}
        return self.store.deliveries.record_attempt(delivery, attempt, state=state, retry_in_s=after, report=report)

    def fail(self, times: int, report: AttemptReport = FAILED, url: str = URL) -> None:
        """Let webhooks fail, one after the other."""
        for _ in range(times):
            delivery = self.made(url)
            assert isinstance(self.acquire_slot(delivery), Admitted)
            self.record_attempt(delivery, report)

    def break_it(self) -> None:
        """Let the endpoint fail until nothing is sent any more."""
        self.fail(OPENS_AFTER - int(self.shown.get("failures", 0)))

    def pass_time(self, *fields: str) -> None:
        """Let the time that fields of the endpoint speak of be over."""
        for name in fields or ("open_until",):
            self.client.hset(keys.endpoint(ENDPOINT.id), name, self.store.clock() - 0.1)

    def due_in(self, delivery: Delivery) -> float:
        """Return the seconds until it comes due in the lane of second tries."""
        assert self.line.lanes_of(delivery.id) == {Lane.REDELIVERIES}
        return self.line.due_in(Lane.REDELIVERIES, delivery.id)

    @property
    def shown(self) -> dict[str, Any]:
        """How the endpoint is."""
        return self.store.endpoints.get(ENDPOINT.id) or {}


@pytest.fixture
def hooks(line: Line) -> Hooks:
    """Webhooks on an empty ledger."""
    return Hooks(line)


Gated = Callable[..., Hooks]


@pytest.fixture
def gated(line: Line, store: Store, store_settings: Settings) -> Iterator[Gated]:
    """Make the same with other settings."""
    opened: list[Store] = []

    def make(**settings: Any) -> Hooks:
        opened.append(open_store(store_settings.model_copy(update=settings), line.ticks.append))
        line.store = opened[-1]
        return Hooks(line)

    yield make
    line.store = store
    for each in opened:
        each.close()
