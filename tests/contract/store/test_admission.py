"""Not asking for too much: the queue before the triggers, its caps, and fair picking."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.contract.store.conftest import Ended, Line
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store import keys
from worker.store.keys import Lane
from worker.store.lanes import Caps

FULL = Reschedule(after=2, reason=Reason.RATE_LIMITED, error="too many jobs", requeue=True, clear_intent=True)


def capped(line: Line, **caps: Any) -> Line:
    """Set caps for the rest of the test."""
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
    line.store.jobs.requeue([(job, FULL) for job in jobs])


def finish(line: Line, job: Job) -> Ended:
    """End a job."""
    finished = line.finish(job, JobResult(state=JobState.SUCCEEDED))
    assert finished is not None
    return finished


def unpause(line: Line) -> None:
    """Let the pause be over."""
    line.client.hset(keys.loop(Lane.TRIGGERS), "paused", "0")


def test_without_a_cap_nothing_queues(line: Line) -> None:
    """The straight line has no room to wait in."""
    job = line.accepted()
    assert line.store.jobs.position(job.id) is None
    assert line.claimed(Lane.TRIGGERS) == [job]


def test_a_cap_admits_no_more_than_it_says(line: Line) -> None:
    """The others wait, and know their place."""
    capped(line, active=2)
    jobs = [line.accepted() for _ in range(5)]
    assert admitted(line) == [job.id for job in jobs[:2]]
    assert [line.store.jobs.position(job.id) for job in jobs] == [None, None, 0, 1, 2]
    assert admitted(line) == [job.id for job in jobs[:2]]


def test_an_end_makes_room(line: Line) -> None:
    """And wakes the lane at once."""
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


def test_one_tenants_many_do_not_starve_anothers_one(line: Line) -> None:
    """Five hundred were there first; the one is picked next but one."""
    capped(line, active=1)
    many = [line.accepted(tenant="many") for _ in range(500)]
    assert admitted(line) == [many[0].id]
    one = line.accepted(tenant="one")
    assert line.store.jobs.position(one.id) in {0, 1}


def test_a_tenants_own_jobs_keep_their_order(line: Line) -> None:
    """First come, first served, among one's own."""
    capped(line, active=100)
    jobs = [line.accepted(tenant=f"t{number % 3}") for number in range(12)]
    order: Any = line.client.zrange(keys.QUEUE, 0, -1)
    assert admitted(line)
    for tenant in range(3):
        own = [job.id for job in jobs[tenant::3]]
        assert [name for name in order if name in own] == own


def test_deadlines_run_while_waiting(line: Line) -> None:
    """In its lane a queued job waits for its deadline."""
    capped(line, active=1)
    line.accepted()
    job = line.accepted(deadline_at=line.store.clock() + 50)
    assert 40 < line.due_in(Lane.TRIGGERS, job.id) <= 51


def test_a_queued_job_that_is_canceled_leaves(line: Line) -> None:
    """Nobody triggers it later."""
    capped(line, active=1)
    line.accepted()
    waiting = line.accepted()
    finish(line, waiting)
    assert line.store.jobs.position(waiting.id) is None
    assert waiting.id not in admitted(line)


def test_trainings_need_no_room(line: Line) -> None:
    """PhotoGPT counts them apart."""
    capped(line, active=1)
    line.accepted()
    training = line.accepted(kind=Kind.TRAINING, request={"modelID": "m"})
    assert training.id in admitted(line)


def test_what_was_refused_goes_back_and_teaches_the_cap(line: Line) -> None:
    """PhotoGPT took two of five: two is the cap, and the others wait without an open intent."""
    jobs = [line.accepted() for _ in range(5)]
    line.claimed(Lane.TRIGGERS)
    for number, job in enumerate(jobs[:2]):
        line.store.jobs.record_intent(job)
        line.store.jobs.mark_submitted(job, Submitted(f"g-{number}"), poll_after=5)
    refuse(line, jobs[2:])
    assert line.store.jobs.intents_since(0) == []
    assert [line.store.jobs.position(job.id) for job in jobs[2:]] == [0, 1, 2]
    assert line.read(jobs[2]).reason is Reason.RATE_LIMITED
    assert float(str(line.client.hget(keys.loop(Lane.TRIGGERS), "cap"))) == 2
    unpause(line)
    assert admitted(line) == []
    later = line.accepted()
    assert line.store.jobs.position(later.id) == 3


def test_quiet_time_raises_the_cap(line: Line) -> None:
    """By one a second at least, so that a cap that was learned too low does not stay."""
    jobs = [line.accepted() for _ in range(3)]
    line.claimed(Lane.TRIGGERS)
    refuse(line, jobs)
    unpause(line)
    line.client.hset(keys.loop(Lane.TRIGGERS), "cap_at", str(line.store.clock() - 1.5))
    assert len(admitted(line)) == 2


@pytest.mark.parametrize("cap", [3, 1000])
def test_a_cap_outlasts_its_pause(line: Line, cap: int) -> None:
    """Ticks during a long pause take nothing off it: a thousand at once would take half an hour to come back."""
    refuse(line, [line.accepted()])
    loop, over = keys.loop(Lane.TRIGGERS), line.store.clock() + 55
    line.client.hset(loop, mapping={"cap": cap, "cap_at": over, "paused": over})
    for _ in range(3):
        admitted(line)
    assert float(str(line.client.hget(loop, "cap"))) == cap
    assert float(str(line.client.hget(loop, "cap_at"))) == pytest.approx(over, abs=0.001)


@pytest.mark.parametrize("back", ["requeue", "pause_lane"])
def test_no_pause_is_longer_than_a_minute(line: Line, back: str) -> None:
    """Deadlines pass in a lane that stands still, and nobody sees it; PhotoGPT may ask for an hour."""
    job = line.accepted()
    line.store.jobs.record_intent(job)
    again = replace(FULL, after=3600, requeue=back == "requeue", pause_lane=back == "pause_lane")
    put_back = line.store.jobs.requeue if again.requeue else partial(line.store.jobs.reschedule, Lane.TRIGGERS)
    put_back([(job, again)])
    paused = float(str(line.client.hget(keys.loop(Lane.TRIGGERS), "paused")))
    assert 55 < paused - line.store.clock() <= 61


def test_a_cap_is_forgotten_after_long_quiet(line: Line) -> None:
    """Then jobs go straight to their trigger again."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS)
    refuse(line, [job])
    unpause(line)
    finish(line, line.read(job))
    line.client.hset(keys.loop(Lane.TRIGGERS), "throttled_at", str(line.store.clock() - 601))
    admitted(line)
    assert line.store.jobs.position(line.accepted().id) is None


def test_a_stale_view_gives_nothing_back(line: Line) -> None:
    """A job that moved on meanwhile stays where it is."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS)
    line.store.jobs.record_intent(job)
    line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    line.store.jobs.requeue([(replace(job), FULL)])
    assert line.store.jobs.position(job.id) is None
    assert line.lanes_of(job.id) == {Lane.JOBS}


def test_the_watch_sees_a_queue(line: Line) -> None:
    """The message that would have admitted got lost."""
    capped(line, active=1)
    line.accepted()
    line.client.hset(keys.loop(Lane.TRIGGERS), "armed", str(line.store.clock() - 60))
    line.published()
    line.store.lanes.ensure_ticks()
    assert [tick.lane for tick in line.published()] == [Lane.TRIGGERS]


@pytest.mark.parametrize(("rate", "expected"), [(0, 8), (3, 3), (100, 8)])
def test_requests_a_second_are_shared(line: Line, rate: float, expected: int) -> None:
    """A second's worth at once, the rest later."""
    capped(line, requests_per_s=rate)
    for _ in range(8):
        line.accepted()
    assert len(line.claimed(Lane.TRIGGERS)) == expected
    if rate == 3:
        assert line.claimed(Lane.TRIGGERS) == []
        line.client.hset(keys.RATE, "at", str(line.store.clock() - 0.7))
        assert len(line.claimed(Lane.TRIGGERS)) == 2
