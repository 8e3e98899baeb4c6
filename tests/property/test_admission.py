"""A state machine over admission: whatever PhotoGPT refuses, no job is lost and no cap is exceeded."""

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
    rule,
    run_state_machine_as_test,
)

from config.settings import Settings
from tests.contract.workers import token_of
from tests.running import keys
from tests.unit.factories import ended, make_job, success
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import Job, Kind
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.store.codec import FIELDS, decode
from worker.store.keys import ID
from worker.store.lanes import leave_to_lane_monitor
from worker.store.records import Finished
from worker.store.store import Store, open_store

CAPS = (0, 1, 3)
TENANTS = ("", "a", "b")
fractions = st.integers(min_value=0, max_value=2**30)
repeats = st.integers(min_value=1, max_value=2)


class Admission(RuleBasedStateMachine):
    """Producers of several tenants, a cap of ours, and a PhotoGPT that refuses at random.

    Which jobs can be claimed depends on the server's clock (the pause after a refusal lasts a second). So no rule has a
    precondition: on a slow machine the same steps would meet other rules, which Hypothesis reports as flaky.
    """

    stores: ClassVar[dict[int, Store]]
    client: ClassVar[Any]

    @initialize(cap=st.sampled_from(CAPS))
    def begin(self, cap: int) -> None:
        """Begin with an empty store."""
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
        if kind is Kind.TRAINING:  # PhotoGPT limits trainings separately
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
        """Let the pause after a refusal end, and a second pass."""
        loop = keys.loop(Lane.TRIGGERS)
        self.client.hdel(loop, "paused_until")
        if self.client.hexists(loop, "cap"):
            self.client.hset(loop, "cap_at", self.store.clock() - 1)

    @rule(most=st.sampled_from([1, 2, 64]))
    def admit(self, most: int) -> None:
        """Admit jobs in the order of the queue."""
        before = self._queue()
        self.store.lanes.admit(most)
        after = self._queue()
        left = [name for name in before if name not in after]
        assert len(left) <= most
        assert before[: len(left)] == left, "out of turn"

    @rule()
    def claim(self) -> None:
        """Claim the admitted jobs."""
        token = token_of(self.client, Lane.TRIGGERS)
        if token == "None":
            return
        found = self.store.lanes.claim(Lane.TRIGGERS, token, limit=64, lease_s=60, pattern=keys.job(ID), fields=FIELDS)
        assert found is not None
        for record in found.records:
            job = decode(record)
            assert job.id not in self._queue(), "it waits for admission"
            self.claimed[job.id] = job

    @rule(random_fraction=fractions, times=repeats, asked=st.booleans())
    def refuse(self, random_fraction: int, times: int, *, asked: bool) -> None:
        """PhotoGPT refuses a job (429), and the worker requeues it, perhaps twice."""
        if not self.claimed:
            return
        job = self._pick(random_fraction)
        again = Reschedule(after=1, reason=Reason.RATE_LIMITED, error="enough", clear_intent=True, requeue=True)
        if asked:
            assert self.store.jobs.record_intent(job)
        for _ in range(times):
            self.store.lanes.requeue([(job, again)])
        assert float(self.client.hget(keys.loop(Lane.TRIGGERS), "cap")) >= 1
        assert job.id in self._queue()
        assert not self.client.hexists(keys.job(job.id), "intent_at")
        del self.claimed[job.id]

    @rule(random_fraction=fractions, times=repeats)
    def finish(self, random_fraction: int, times: int) -> None:
        """A generation ends and makes room."""
        if not self.claimed:
            return
        job = self._pick(random_fraction)
        for _ in range(times):
            self._finish(job, outcome_known=True)
        self.ended.add(job.id)
        del self.claimed[job.id]

    @rule(random_fraction=fractions)
    def cancel(self, random_fraction: int) -> None:
        """Cancel a job, queued or not."""
        open_jobs = sorted(set(self.tenant) - self.ended)
        if not open_jobs:
            return
        name = open_jobs[random_fraction % len(open_jobs)]
        job = self.store.jobs.get(name)
        assert job is not None
        assert self._finish(job, outcome_known=True) is not None
        self.ended.add(name)
        self.claimed.pop(name, None)

    @rule(random_fraction=fractions, times=repeats)
    def take(self, random_fraction: int, times: int) -> None:
        """PhotoGPT accepts a job, which is polled from now on."""
        if not self.claimed:
            return
        job = self._pick(random_fraction)
        assert self.store.jobs.record_intent(job)
        for _ in range(times):
            self.store.jobs.mark_submitted(job, Submitted(f"generation-of-{job.id}"), poll_after=60)
        del self.claimed[job.id]

    @invariant()
    def no_cap_is_exceeded(self) -> None:
        """No more jobs are active than the setting allows."""
        assert not self.cap or len(self._active()) <= self.cap

    @invariant()
    def every_job_is_queued_or_active(self) -> None:
        """Every job that has not ended is queued or active, and one that has ended is neither."""
        waiting, active = self._queue(), self._active()
        assert sorted(waiting + active) == sorted(set(self.tenant) - self.ended)

    def teardown(self) -> None:
        """When PhotoGPT refuses nothing any more, every job ends."""
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
        return list(self.client.zrange(keys.queue, 0, -1))

    def _active(self) -> list[str]:
        """Return the admitted jobs and those in flight; no job is in both."""
        return [*self.client.zrange(keys.active, 0, -1), *self.client.zrange(keys.lane(Lane.JOBS), 0, -1)]

    def _pick(self, random_fraction: int) -> Job:
        name = sorted(self.claimed)[random_fraction % len(self.claimed)]
        return self.claimed[name]


@pytest.fixture
def admission(valkey: EmbeddedValkey, client: redis.Redis) -> Iterator[type[Admission]]:
    """The state machine on a real Valkey."""
    opened = {
        cap: open_store(Settings(_env_file=None, redis_url=valkey.url, max_active=cap), leave_to_lane_monitor)
        for cap in CAPS
    }
    Admission.stores, Admission.client = opened, client
    yield Admission
    for store in opened.values():
        store.close()


def test_every_job_is_admitted(admission: type[Admission]) -> None:
    """Every job is admitted in turn and within the cap, whatever is refused, repeated or canceled."""
    health = list(HealthCheck)
    run_state_machine_as_test(
        admission,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=health),
    )
