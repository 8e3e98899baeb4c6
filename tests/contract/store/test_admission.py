"""Admission: the queue in front of the triggers, its caps, and fairness between tenants."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.contract.store.conftest import Ended, Line
from tests.running import keys
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store.lanes import Caps

FULL = Reschedule(after=2, reason=Reason.RATE_LIMITED, error="too many jobs", requeue=True, clear_intent=True)


def capped(line: Line, **caps: Any) -> Line:
    """Set caps until the end of the test."""
    for part in (line.store.jobs, line.store.lanes):
        part._caps = Caps(**caps)
    return line


def admitted(line: Line) -> list[str]:
    """Admit, and return the ids of what is due now, in order."""
    line.store.lanes.admit(100)
    now = line.store.clock()
    due: Any = line.client.zrangebyscore(keys.lane(Lane.TRIGGERS), "-inf", now + 1)
    return list(due)


def refuse(line: Line, jobs: list[Job]) -> None:
    """PhotoGPT takes none of them."""
    for job in jobs:
        line.store.jobs.record_intent(job)
    line.store.lanes.requeue([(job, FULL) for job in jobs])


def finish(line: Line, job: Job) -> Ended:
    """End a job."""
    finished = line.finish(job, JobResult(state=JobState.SUCCEEDED))
    assert finished is not None
    return finished


def unpause(line: Line) -> None:
    """Let the pause be over."""
    line.client.hset(keys.loop(Lane.TRIGGERS), "paused_until", "0")


def test_without_a_cap_nothing_queues(line: Line) -> None:
    """Without a cap a job is not queued, and can be claimed at once."""
    job = line.accepted()
    assert line.store.job_history.position(job.id) is None
    assert line.claimed(Lane.TRIGGERS) == [job]


def test_a_cap_limits_admission(line: Line) -> None:
    """A cap of two admits two jobs, and the others know their position in the queue."""
    capped(line, active=2)
    jobs = [line.accepted() for _ in range(5)]
    assert admitted(line) == [job.id for job in jobs[:2]]
    assert [line.store.job_history.position(job.id) for job in jobs] == [None, None, 0, 1, 2]
    assert admitted(line) == [job.id for job in jobs[:2]]


def test_an_end_makes_room(line: Line) -> None:
    """The end of a job publishes a tick of the lane of triggers, and the next job is admitted."""
    capped(line, active=1)
    first, second = line.accepted(), line.accepted()
    admitted(line)
    line.claimed(Lane.TRIGGERS)
    line.store.jobs.record_intent(first)
    line.store.jobs.mark_submitted(first, Submitted("g-1"), poll_after=5)
    assert admitted(line) == []
    finished = finish(line, line.read(first))
    assert Lane.TRIGGERS in {tick.lane for tick in finished.ticks}
    assert admitted(line) == [second.id]


def test_a_tenant_does_not_starve_another(line: Line) -> None:
    """The one job of a tenant is next but one, although five hundred of another tenant were queued before it."""
    capped(line, active=1)
    many = [line.accepted(tenant="many") for _ in range(500)]
    assert admitted(line) == [many[0].id]
    one = line.accepted(tenant="one")
    assert line.store.job_history.position(one.id) in {0, 1}


def test_the_jobs_of_a_tenant_keep_their_order(line: Line) -> None:
    """The jobs of one tenant are queued in the order of their acceptance."""
    capped(line, active=100)
    jobs = [line.accepted(tenant=f"t{number % 3}") for number in range(12)]
    order: Any = line.client.zrange(keys.queue, 0, -1)
    assert admitted(line)
    for tenant in range(3):
        own = [job.id for job in jobs[tenant::3]]
        assert [name for name in order if name in own] == own


def test_a_queued_job_is_due_at_its_deadline(line: Line) -> None:
    """A queued job is due in its lane at its deadline."""
    capped(line, active=1)
    line.accepted()
    job = line.accepted(deadline_at=line.store.clock() + 50)
    assert 40 < line.due_in(Lane.TRIGGERS, job.id) <= 51


def test_a_canceled_job_leaves_the_queue(line: Line) -> None:
    """A queued job that ends leaves the queue and is not admitted later."""
    capped(line, active=1)
    line.accepted()
    waiting = line.accepted()
    finish(line, waiting)
    assert line.store.job_history.position(waiting.id) is None
    assert waiting.id not in admitted(line)


def test_trainings_are_not_queued(line: Line) -> None:
    """A training is not queued, since PhotoGPT limits trainings separately."""
    capped(line, active=1)
    line.accepted()
    training = line.accepted(kind=Kind.TRAINING, request={"modelID": "m"})
    assert training.id in admitted(line)


def test_refused_jobs_go_back_and_set_the_cap(line: Line) -> None:
    """If PhotoGPT accepts two of five jobs, two becomes the cap, and the others are queued without an intent."""
    jobs = [line.accepted() for _ in range(5)]
    line.claimed(Lane.TRIGGERS)
    for number, job in enumerate(jobs[:2]):
        line.store.jobs.record_intent(job)
        line.store.jobs.mark_submitted(job, Submitted(f"g-{number}"), poll_after=5)
    refuse(line, jobs[2:])
    assert line.open_intents() == []
    assert [line.store.job_history.position(job.id) for job in jobs[2:]] == [0, 1, 2]
    assert line.read(jobs[2]).reason is Reason.RATE_LIMITED
    assert float(str(line.client.hget(keys.loop(Lane.TRIGGERS), "cap"))) == 2
    unpause(line)
    assert admitted(line) == []
    later = line.accepted()
    assert line.store.job_history.position(later.id) == 3


def test_the_cap_rises_without_refusals(line: Line) -> None:
    """The cap rises by at least two a second while PhotoGPT refuses nothing."""
    jobs = [line.accepted() for _ in range(6)]
    line.claimed(Lane.TRIGGERS)
    refuse(line, jobs)
    unpause(line)
    line.client.hset(keys.loop(Lane.TRIGGERS), "cap_at", str(line.store.clock() - 1.5))
    assert len(admitted(line)) == 4  # 1 + 2 a second


@pytest.mark.parametrize("cap", [3, 1000])
def test_the_cap_stays_during_the_pause(line: Line, cap: int) -> None:
    """Ticks during a pause do not change the cap."""
    refuse(line, [line.accepted()])
    loop, over = keys.loop(Lane.TRIGGERS), line.store.clock() + 55
    line.client.hset(loop, mapping={"cap": cap, "cap_at": over, "paused_until": over})
    for _ in range(3):
        admitted(line)
    assert float(str(line.client.hget(loop, "cap"))) == cap
    assert float(str(line.client.hget(loop, "cap_at"))) == pytest.approx(over, abs=0.001)


@pytest.mark.parametrize("back", ["requeue", "pause_lane"])
def test_a_pause_lasts_a_minute_at_most(line: Line, back: str) -> None:
    """A lane pauses for a minute at most, even if PhotoGPT asks for an hour."""
    job = line.accepted()
    line.store.jobs.record_intent(job)
    again = replace(FULL, after=3600, requeue=back == "requeue", pause_lane=back == "pause_lane")
    put_back = line.store.lanes.requeue if again.requeue else partial(line.store.lanes.reschedule, Lane.TRIGGERS)
    put_back([(job, again)])
    paused = float(str(line.client.hget(keys.loop(Lane.TRIGGERS), "paused_until")))
    assert 55 < paused - line.store.clock() <= 61


def test_the_cap_ends_after_ten_minutes(line: Line) -> None:
    """Ten minutes after the last refusal the cap is gone and new jobs are not queued."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS)
    refuse(line, [job])
    unpause(line)
    finish(line, line.read(job))
    line.client.hset(keys.loop(Lane.TRIGGERS), "throttled_at", str(line.store.clock() - 601))
    admitted(line)
    assert line.store.job_history.position(line.accepted().id) is None


def test_a_job_that_moved_on_is_not_requeued(line: Line) -> None:
    """A job that PhotoGPT accepted since it was claimed is not requeued."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS)
    line.store.jobs.record_intent(job)
    line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    line.store.lanes.requeue([(replace(job), FULL)])
    assert line.store.job_history.position(job.id) is None
    assert line.lanes_of(job.id) == {Lane.JOBS}


def test_the_lane_monitor_sees_a_queue(line: Line) -> None:
    """The lane monitor publishes a missing tick for jobs that wait in the queue."""
    capped(line, active=1)
    line.accepted()
    line.client.hset(keys.loop(Lane.TRIGGERS), "soon_due_at", str(line.store.clock() - 60))
    line.published()
    line.store.lanes.ensure_ticks()
    assert [tick.lane for tick in line.published()] == [Lane.TRIGGERS]


@pytest.mark.parametrize(("rate", "expected"), [(0, 8), (3, 3), (100, 8)])
def test_the_request_rate_limits_claims(line: Line, rate: float, expected: int) -> None:
    """A rate of three requests a second lets three jobs be claimed at once, and more as time passes."""
    capped(line, requests_per_s=rate)
    for _ in range(8):
        line.accepted()
    assert len(line.claimed(Lane.TRIGGERS)) == expected
    if rate == 3:
        assert line.claimed(Lane.TRIGGERS) == []
        line.client.hset(keys.rate, "at", str(line.store.clock() - 0.7))
        assert len(line.claimed(Lane.TRIGGERS)) == 2
