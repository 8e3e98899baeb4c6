"""A state machine over the store: in whatever order calls are made and repeated, no job is lost or paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from tests.chaos.audit import recorded_totals
from tests.contract.workers import token_of
from tests.running import keys
from tests.unit.factories import ended, make_job
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import TERMINAL, Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, Outcome, outcome
from worker.domain.reason import Reason
from worker.store.codec import FIELDS, decode
from worker.store.keys import ID
from worker.store.lanes import Tick, poll_lane
from worker.store.records import JobAccepted, JobKnown, KeyConflict
from worker.store.store import Store, open_store

JOB_LANES = (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS, Lane.RESULTS)
CLAIMANTS = 3
TERMINAL_TYPES = {f"{noun}.{state.value}" for noun in ("job", "model") for state in TERMINAL}

claimants = st.integers(min_value=0, max_value=CLAIMANTS - 1)
fractions = st.integers(min_value=0, max_value=2**30)
repeats = st.integers(min_value=1, max_value=3)


@dataclass
class Modelled:
    """One job in the model."""

    job: Job
    digest: str
    state: JobState = JobState.QUEUED
    duplicate_of: str | None = None
    intended: bool = False
    granted: int = 0
    generation: str | None = None
    published: bool = False
    final: Outcome | None = None

    @property
    def lane(self) -> Lane | None:
        """The one lane in which the job must be."""
        if self.state in TERMINAL:
            return None if self.published else Lane.RESULTS
        return Lane.TRIGGERS if self.state is JobState.QUEUED else poll_lane(self.job)


class StoreMachine(RuleBasedStateMachine):
    """Several claimants, each with its own and perhaps outdated view of the jobs, call the store."""

    store: ClassVar[Store]
    client: ClassVar[Any]
    ticks: ClassVar[list[Tick]] = []

    @initialize(stages=st.lists(st.integers(min_value=0, max_value=4), min_size=1, max_size=3))
    def begin(self, stages: list[int]) -> None:
        """Begin with a few jobs in different states, and with the views that claims have left."""
        self.client.flushall()
        self.jobs: dict[str, Modelled] = {}
        self.keys: dict[str, str] = {}
        self.views: list[dict[str, Job]] = [{} for _ in range(CLAIMANTS)]
        self.made = 0
        for number, stage in enumerate(stages):
            self.accept(Kind.IMAGE if stage % 2 else Kind.TRAINING, None, "one", 1)
            self.claim(number % CLAIMANTS, {Lane.TRIGGERS}, 64)
            view = self.views[number % CLAIMANTS][f"job-{self.made}"]
            known = self.jobs[view.id]
            if stage >= 1:
                assert self.store.jobs.record_intent(view)
                known.intended, known.granted = True, 1
            if stage >= 2:
                known.generation = None if view.kind is Kind.TRAINING else f"{view.id}-g0"
                assert self.store.jobs.mark_submitted(view, Submitted(known.generation), poll_after=5)
                known.intended, known.state = False, JobState.SUBMITTED
            if stage >= 3:
                self.claim((number + 1) % CLAIMANTS, {poll_lane(view)}, 64)
            if stage >= 4:
                assert self.store.jobs.mark_running(view, poll_after=5)
                known.state = JobState.RUNNING

    # -- enqueueing -------------------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from([Kind.IMAGE, Kind.TRAINING]),
        key=st.sampled_from([None, "a", "b"]),
        digest=st.sampled_from(["one", "two"]),
        times=repeats,
    )
    def accept(self, kind: Kind, key: str | None, digest: str, times: int) -> None:
        """Accept a job, perhaps from a repeated message."""
        self.made += 1
        now = round(self.store.clock(), 3)
        events = ("job.submitted", "job.succeeded", "job.failed", "model.ready")
        job = make_job(
            kind,
            id=f"job-{self.made}",
            created_at=now,
            deadline_at=now + 3600,
            idempotency_key=key,
            webhook_url="https://shop.example",
            webhook_events=events,
        )
        answers = [self.store.jobs.accept(job, digest=digest, continuation="{}") for _ in range(times)]
        owner = self.keys.get(key or "")
        if owner is not None and self.jobs[owner].digest != digest:
            assert answers == [KeyConflict(owner)] * times
            return
        assert isinstance(answers[0], JobAccepted)
        assert answers[1:] == [JobKnown(digest)] * (times - 1)
        self.jobs[job.id] = Modelled(job, digest, duplicate_of=owner)
        if key is not None:
            self.keys.setdefault(key, job.id)

    # -- the tick ---------------------------------------------------------------------------------------------

    @rule(claimant=claimants, lanes=st.sets(st.sampled_from(JOB_LANES), min_size=1), limit=st.sampled_from([1, 64]))
    def claim(self, claimant: int, lanes: set[Lane], limit: int) -> None:
        """Claim after every lease has ended, so that several claimants have the same job."""
        for lane in sorted(lanes):
            for member in self.client.zrange(keys.lane(lane), 0, -1):
                self.client.zadd(keys.lane(lane), {member: self.store.clock() - 1})
            self.client.hdel(keys.loop(lane), "paused_until")
            self._claim_one(claimant, lane, limit)

    @rule(claimant=claimants, lane=st.sampled_from(JOB_LANES))
    def claim_early(self, claimant: int, lane: Lane) -> None:
        """Claim what happens to be due."""
        self._claim_one(claimant, lane, 64)

    def _claim_one(self, claimant: int, lane: Lane, limit: int) -> None:
        token = token_of(self.client, lane)
        found = self._claim(lane, token, limit)
        if token == "None":
            assert found is None
            return
        assert found is not None
        assert self._claim(lane, token, limit) is None  # a token is used once
        for record in found.records:
            job = decode(record)
            assert self.jobs[job.id].lane is lane
            self.views[claimant][job.id] = job

    def _claim(self, lane: Lane, token: str, limit: int) -> Any:
        return self.store.lanes.claim(lane, token, limit=limit, lease_s=30, pattern=keys.job(ID), fields=FIELDS)

    def _pick(self, random_fraction: int, *, queued: bool | None = None, granted: bool = False) -> Job | None:
        """Pick a job from the view of a claimant, which may be outdated; current views are picked more often."""
        seen = [
            job
            for views in self.views
            for job in views.values()
            if queued in {None, job.state is JobState.QUEUED} and (self.jobs[job.id].granted or not granted)
        ]
        current = [job for job in seen if job.state is self.jobs[job.id].state]
        pool = current if current and random_fraction % 3 else seen
        return pool[random_fraction // 3 % len(pool)] if pool else None

    @precondition(lambda self: self._pick(0, queued=True))
    @rule(random_fraction=fractions, times=repeats)
    def record_intent(self, random_fraction: int, times: int) -> None:
        """Record an intent; one claimant at a time gets it."""
        job = self._pick(random_fraction, queued=True)
        assert job is not None
        known = self.jobs[job.id]
        for _ in range(times):
            granted = self.store.jobs.record_intent(
                job, model_fingerprint_before="before" if job.kind is Kind.TRAINING else None
            )
            assert (granted is not None) is (known.state is JobState.QUEUED and not known.intended)
            if granted:
                known.intended = True
                known.granted += 1

    @precondition(lambda self: self._pick(0, granted=True))
    @rule(random_fraction=fractions, times=repeats, number=st.integers(min_value=0, max_value=2))
    def submitted(self, random_fraction: int, times: int, number: int) -> None:
        """PhotoGPT accepts a job: in time, late, or again with another generation."""
        job = self._pick(random_fraction, granted=True)
        assert job is not None
        known = self.jobs[job.id]
        generation = None if job.kind is Kind.TRAINING else f"{job.id}-g{number}"
        for _ in range(times):
            moved = self.store.jobs.mark_submitted(job, Submitted(generation), poll_after=5) > 0
            assert moved is (known.state is JobState.QUEUED)
            if known.state is JobState.QUEUED:
                known.state = JobState.SUBMITTED
            known.generation = known.generation or generation
            known.intended = False
        if generation is not None:
            assert self.store.generations.unknown([generation, "stranger"]) == ["stranger"]

    @precondition(lambda self: self._pick(0, queued=False))
    @rule(random_fraction=fractions, times=repeats)
    def running(self, random_fraction: int, times: int) -> None:
        """A poll, perhaps an outdated one, shows a submitted job as running."""
        job = self._pick(random_fraction, queued=False)
        assert job is not None
        known = self.jobs[job.id]
        for _ in range(times):
            moved = self.store.jobs.mark_running(job, poll_after=5)
            assert moved is (known.state is JobState.SUBMITTED)
            if known.state is JobState.SUBMITTED:
                known.state = JobState.RUNNING

    @precondition(lambda self: self._pick(0))
    @rule(
        random_fraction=fractions,
        times=repeats,
        again=st.builds(
            Reschedule,
            after=st.sampled_from([0, 1, 60]),
            reason=st.sampled_from([None, Reason.UNAVAILABLE]),
            pause_lane=st.booleans(),
            polled=st.booleans(),
            clear_intent=st.booleans(),
        ),
    )
    def reschedule(self, random_fraction: int, times: int, again: Reschedule) -> None:
        """Put a job back into the lane of the view; only the lane of triggers clears intents."""
        job = self._pick(random_fraction)
        assert job is not None
        lane = Lane.TRIGGERS if job.state is JobState.QUEUED else poll_lane(job)
        lane = Lane.RESULTS if job.state in TERMINAL else lane
        again = replace(
            again,
            clear_intent=again.clear_intent and lane is Lane.TRIGGERS,
            polled=again.polled and lane is not Lane.RESULTS,
        )
        for _ in range(times):
            self.store.lanes.reschedule(lane, [(job, again)])
        known = self.jobs[job.id]
        if again.clear_intent and known.lane is lane:
            known.intended = False

    @precondition(lambda self: self._pick(0))
    @rule(random_fraction=fractions, times=repeats, polled=st.booleans(), state=st.sampled_from(sorted(TERMINAL)))
    def finish(self, random_fraction: int, times: int, state: JobState, *, polled: bool) -> None:
        """End a job by a poll, a deadline or a cancel, with the view of a claimant."""
        job = self._pick(random_fraction)
        assert job is not None
        known = self.jobs[job.id]
        reason = None if state is JobState.SUCCEEDED else Reason.CANCELED
        for _ in range(times):
            fresh = job == self.store.jobs.get(job.id)
            final = ended(job, JobResult(state=state, reason=reason), at=self.store.clock(), polled=polled)
            finished = self.store.jobs.finish(job, final, None, polled=polled)
            assert finished is None or (known.state not in TERMINAL and job.state is known.state)
            assert finished is not None or not fresh or known.state in TERMINAL  # a current view decides
            if finished is not None:
                known.state = state
                known.final = self.store.jobs.outcome(job.id)

    @precondition(lambda self: any(known.state in TERMINAL for known in self.jobs.values()))
    @rule(random_fraction=fractions, times=repeats)
    def publish(self, random_fraction: int, times: int) -> None:
        """Celery stores a result."""
        ended = [known for known in self.jobs.values() if known.state in TERMINAL]
        known = ended[random_fraction % len(ended)]
        for _ in range(times):
            self.store.jobs.mark_published(known.job.id)
        known.published = True

    @precondition(lambda self: any(known.lane is Lane.RESULTS for known in self.jobs.values()))
    @rule(random_fraction=fractions)
    def result_fails(self, random_fraction: int) -> None:
        """A step of an ended job raises; rescheduling does not change the job."""
        ended = [known.job for known in self.jobs.values() if known.lane is Lane.RESULTS]
        job = ended[random_fraction % len(ended)]
        self.store.lanes.reschedule(
            Lane.RESULTS, [(job, Reschedule(after=1, reason=Reason.INTERNAL_ERROR, error="raised"))]
        )

    @rule(lose=st.booleans())
    def monitor(self, *, lose: bool) -> None:
        """Ask for missing ticks; sometimes every message was lost."""
        if lose:
            for lane in Lane:
                self.client.hdel(keys.loop(lane), "soon_due_at", "later_due_at")
        for tick in self._missing():
            assert tick.token in self.client.hmget(keys.loop(tick.lane), ["soon_token", "later_token"])
            assert 0 <= tick.delay <= 8.0
        assert self._missing() == []

    def _missing(self) -> list[Tick]:
        """Return the ticks that the lane monitor finds missing."""
        self.ticks.clear()
        self.store.lanes.ensure_ticks()
        return self.ticks.copy()

    # -- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_forgotten_and_nothing_is_in_two_lanes(self) -> None:
        """Every job is in its one lane, or is published."""
        for name, known in self.jobs.items():
            lanes = [lane for lane in JOB_LANES if self.client.zscore(keys.lane(lane), name) is not None]
            assert lanes == ([known.lane] if known.lane is not None else []), name
        members = sum(self.client.zcard(keys.lane(lane)) for lane in JOB_LANES)
        assert members == sum(known.lane is not None for known in self.jobs.values())

    @invariant()
    def the_record_is_that_of_the_model(self) -> None:
        """State, generation, first job and intent are those of the model."""
        for name, known in self.jobs.items():
            job = self.store.jobs.get(name)
            assert job is not None
            assert (job.state, job.duplicate_of, job.generation_id) == (
                known.state,
                known.duplicate_of,
                known.generation,
            )
            assert job.attempts == known.granted
            if known.state not in TERMINAL:
                assert (job.intent_at is not None) is known.intended
                assert (name in {intent.job_id for intent in self.store.generations.open_intents(0)}) is known.intended
            assert job.request == known.job.request

    @invariant()
    def an_end_is_published_once_and_never_changes(self) -> None:
        """An ended job has one terminal event, one webhook and one outcome."""
        for name, known in self.jobs.items():
            types = [fields["type"] for _, fields in self.client.xrange(keys.events(name))]
            ends = [found for found in types if found in TERMINAL_TYPES]
            assert len(ends) == (known.state in TERMINAL)
            assert len(set(types)) == len(types)
            if known.final is not None:
                stored: Any = self.store.jobs.outcome(name) or {}
                late = {"generation_id": known.generation}  # stored even after a cancel
                assert stored == known.final | late
            webhooks = [found["type"] for found in self.store.delivery_history.of_job(name)]
            assert sorted(webhooks) == sorted(set(types) & set(known.job.webhook_events))

    @invariant()
    def every_record_expires(self) -> None:
        """Every key of a job has a TTL."""
        for name in self.client.scan_iter("photogpt:job:*"):
            assert self.client.ttl(name) > 0

    def teardown(self) -> None:
        """The totals are those of the records, whatever was repeated."""
        assert {name: int(number) for name, number in self.client.hgetall(keys.totals).items()} == recorded_totals(
            self.client
        )


@pytest.fixture
def machine(valkey: EmbeddedValkey, client: redis.Redis) -> Iterator[type[StoreMachine]]:
    """The state machine on a real Valkey."""
    opened = open_store(Settings(_env_file=None, redis_url=valkey.url), StoreMachine.ticks.append)
    StoreMachine.store, StoreMachine.client = opened, client
    yield StoreMachine
    opened.close()


def test_no_order_of_calls_breaks_the_store(machine: type[StoreMachine]) -> None:
    """The invariants hold whatever several workers do, in whatever order and with whatever repeats."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_first_outcome_is_that_of_the_job(machine: type[StoreMachine]) -> None:
    """The outcome of an accepted job is that of the domain."""
    job = make_job()
    machine.store.jobs.accept(job, digest="d", continuation="{}")
    assert machine.store.jobs.outcome(job.id) == outcome(job)
