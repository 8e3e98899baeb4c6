"""A state machine over the queue for room: whatever PhotoGPT refuses, no job is forgotten and no cap is passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from config.settings import Settings
from tests.unit.factories import ended, make_job, success
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import Job, Kind
from worker.domain.reason import Reason
from worker.store import keys
from worker.store.codec import FIELDS, decode
from worker.store.connection import Store, open_store
from worker.store.keys import Lane
from worker.store.lanes import leave_to_lane_monitor
from worker.store.records import Finished

CAPS = (0, 1, 3)
TENANTS = ("", "a", "b")
chances = st.integers(min_value=0, max_value=2**30)
repeats = st.integers(min_value=1, max_value=2)


class Admission(RuleBasedStateMachine):
    """Producers of several tenants, a cap of ours, and a PhotoGPT that refuses when it likes."""

    stores: ClassVar[dict[int, Store]]
    client: ClassVar[Any]

    @initialize(cap=st.sampled_from(CAPS))
    def begin(self, cap: int) -> None:
        """Begin with nothing."""
        self.client.flushall()
        self.cap, self.made = cap, 0
        self.store = self.stores[cap]
        self.tenant: dict[str, str] = {}
        self.claimed: dict[str, Job] = {}
        self.ended: set[str] = set()

    @rule(tenant=st.sampled_from(TENANTS), kind=st.sampled_from([Kind.IMAGE, Kind.IMAGE, Kind.TRAINING]))
    def accept(self, tenant: str, kind: Kind) -> None:
        """Enqueue."""
        now = round(self.store.clock(), 3)
        self.made += 1
        name = f"job-{self.made}"
        job = make_job(kind, id=name, tenant=tenant or None, created_at=now, deadline_at=now + 3600)
        self.store.jobs.accept(job, digest="d", continuation="{}")
        if kind is Kind.TRAINING:  # has a limit of its own at PhotoGPT, and waits for no room here
            assert self._finish(job) is not None
            return
        newcomer = tenant not in self.tenant.values()
        self.tenant[name] = tenant
        queue = self._queue()
        if newcomer and name in queue:  # however many the others have: at most two of each go first
            others = {self.tenant[before] for before in queue} - {tenant}
            assert queue.index(name) <= 2 * len(others), queue

    @rule()
    def time_passes(self) -> None:
        """The pause after a refusal is over, and a second more."""
        loop = keys.loop(Lane.TRIGGERS)
        self.client.hdel(loop, "paused")
        if self.client.hexists(loop, "cap"):
            self.client.hset(loop, "cap_at", self.store.clock() - 1)

    @rule(most=st.sampled_from([1, 2, 64]))
    def admit(self, most: int) -> None:
        """Let in whom there is room for: each tenant's first comes first."""
        before = self._queue()
        self.store.lanes.admit(most)
        after = self._queue()
        left = [name for name in before if name not in after]
        assert len(left) <= most
        assert before[: len(left)] == left, "out of turn"

    @rule()
    def claim(self) -> None:
        """Take what may be triggered."""
        token = self.client.hget(keys.loop(Lane.TRIGGERS), "token")
        if token is None:
            return
        found = self.store.lanes.claim(Lane.TRIGGERS, token, limit=64, lease=60, prefix=keys.JOB, fields=FIELDS)
        assert found is not None
        for record in found.records:
            job = decode(record)
            assert job.id not in self._queue(), "it waits for room"
            self.claimed[job.id] = job

    @precondition(lambda self: self.claimed)
    @rule(random_fraction=chances, times=repeats, asked=st.booleans())
    def refuse(self, random_fraction: int, times: int, *, asked: bool) -> None:
        """PhotoGPT has enough for now (429); the worker writes that down, perhaps twice."""
        job = self._pick(random_fraction)
        again = Reschedule(after=1, reason=Reason.RATE_LIMITED, error="enough", clear_intent=True, requeue=True)
        if asked:
            assert self.store.jobs.record_intent(job)
        for _ in range(times):
            self.store.jobs.requeue([(job, again)])
        assert float(self.client.hget(keys.loop(Lane.TRIGGERS), "cap")) >= 1
        assert job.id in self._queue()
        assert not self.client.hexists(keys.job(job.id), "intent_at")
        del self.claimed[job.id]

    @precondition(lambda self: self.claimed)
    @rule(random_fraction=chances, times=repeats)
    def finish(self, random_fraction: int, times: int) -> None:
        """A generation ends, and there is room again."""
        job = self._pick(random_fraction)
        for _ in range(times):
            self._finish(job, outcome_known=True)
        self.ended.add(job.id)
        del self.claimed[job.id]

    @precondition(lambda self: set(self.tenant) - self.ended)
    @rule(random_fraction=chances)
    def cancel(self, random_fraction: int) -> None:
        """Somebody gives up a job, waiting or not."""
        name = sorted(set(self.tenant) - self.ended)[random_fraction % len(set(self.tenant) - self.ended)]
        job = self.store.jobs.get(name)
        assert job is not None
        assert self._finish(job, outcome_known=True) is not None
        self.ended.add(name)
        self.claimed.pop(name, None)

    @precondition(lambda self: self.claimed)
    @rule(random_fraction=chances, times=repeats)
    def take(self, random_fraction: int, times: int) -> None:
        """PhotoGPT takes it: from now on it is looked at."""
        job = self._pick(random_fraction)
        assert self.store.jobs.record_intent(job)
        for _ in range(times):
            self.store.jobs.mark_submitted(job, Submitted(f"generation-of-{job.id}"), poll_after=60)
        del self.claimed[job.id]

    @invariant()
    def no_cap_is_passed(self) -> None:
        """No more count as active than the setting says."""
        assert not self.cap or len(self._active()) <= self.cap

    @invariant()
    def everybody_waits_or_is_under_way(self) -> None:
        """Exactly one of the two, for every job that has not ended, and none of it for one that has."""
        waiting, active = self._queue(), self._active()
        assert sorted(waiting + active) == sorted(set(self.tenant) - self.ended)

    def teardown(self) -> None:
        """When PhotoGPT takes everything again, everybody gets through, however it was refused before."""
        if not hasattr(self, "tenant"):
            return
        for _ in range(2 * len(self.tenant) + 2):
            self.time_passes()
            self.store.lanes.admit(64)
            self.claim()
            for name in self.client.zrange(keys.lane(Lane.JOBS), 0, -1):
                job = self.store.jobs.get(name)
                assert job is not None
                assert self._finish(job) is not None
                self.ended.add(name)
            for name in list(self.claimed):
                assert self._finish(self.claimed.pop(name), outcome_known=True) is not None
                self.ended.add(name)
        assert self._queue() == []
        assert self.ended == set(self.tenant)

    def _finish(self, job: Job, *, outcome_known: bool = False) -> Finished | None:
        final = ended(job, success(), at=self.store.clock())
        return self.store.jobs.finish(job, final, None, outcome_known=outcome_known)

    def _queue(self) -> list[str]:
        return list(self.client.zrange(keys.QUEUE, 0, -1))

    def _active(self) -> list[str]:
        """Return what PhotoGPT may be asked to start, and what it has taken; nobody stands in both."""
        return [*self.client.zrange(keys.ACTIVE, 0, -1), *self.client.zrange(keys.lane(Lane.JOBS), 0, -1)]

    def _pick(self, random_fraction: int) -> Job:
        name = sorted(self.claimed)[random_fraction % len(self.claimed)]
        return self.claimed[name]


@pytest.fixture
def admission(valkey: EmbeddedValkey, client: redis.Redis) -> Iterator[type[Admission]]:
    """The machine on a real Valkey."""
    opened = {
        cap: open_store(Settings(_env_file=None, redis_url=valkey.url, max_active=cap), leave_to_lane_monitor)
        for cap in CAPS
    }
    Admission.stores, Admission.client = opened, client
    yield Admission
    for store in opened.values():
        store.close()


def test_everybody_gets_in_at_last(admission: type[Admission]) -> None:
    """In turn, within the cap, whatever was refused, repeated or given up."""
    health = list(HealthCheck)
    run_state_machine_as_test(
        admission,
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=health),
    )
