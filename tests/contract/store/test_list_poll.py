"""What PhotoGPT's list of jobs changes in Redis: when a job is polled singly, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.store.conftest import Line, WithSettings
from tests.running import keys
from tests.unit.factories import success
from worker.domain.decision import Submitted
from worker.domain.job import Job, JobState
from worker.domain.lane import Lane
from worker.domain.list_poll import MIN_IN_FLIGHT, ListPollState
from worker.store.keys import ID
from worker.store.lanes import Tick
from worker.store.list_poll import NAME, InFlight, ListedGeneration

HOLD = 20.0


def apply_page(line: Line, *entries: tuple[Any, ...], defer_s: float = HOLD) -> tuple[int, list[str]]:
    """Apply one page; return the number of jobs to be polled now, and the ids of running ones."""
    ended, running = line.store.list_polls.apply_page([ListedGeneration(*each) for each in entries], defer_s=defer_s)
    return ended, [job.id for job in running]


def in_flight(
    line: Line, generation: str = "g-1", *, must_poll_after: float = 600, after: float = 5, **changes: Any
) -> Job:
    """Return a job whose generation is in flight, and that a list may defer."""
    job = line.accepted(**changes)
    assert line.store.jobs.record_intent(job)
    assert line.store.jobs.mark_submitted(job, Submitted(generation), poll_after=after, must_poll_after=must_poll_after)
    return line.read(job)


def test_a_listed_end_is_polled_now(line: Line) -> None:
    """A job that the list shows as ended is polled singly now, and its duration is stored."""
    job = in_flight(line)
    assert apply_page(line, ("g-1", "ended", 4.25)) == (1, [])
    assert line.due_in(Lane.JOBS, job.id) <= 0
    assert line.read(job).duration_s == 4.25


def test_a_listed_end_without_times(line: Line) -> None:
    """A listed end without times leaves a record that can be read."""
    job = in_flight(line)
    assert apply_page(line, ("g-1", "ended", None)) == (1, [])
    assert line.read(job).duration_s is None
    assert [claimed.id for claimed in line.claimed(Lane.JOBS)] == [job.id]


@pytest.mark.parametrize("status", ["created", "queued", "running"])
def test_a_job_under_way_is_deferred(line: Line, status: str) -> None:
    """The single poll of a job under way is deferred, and a later one is not brought forward."""
    short, long = in_flight(line), in_flight(line, "g-2", after=100)
    line.published()
    ended, running = apply_page(line, ("g-1", status), ("g-2", status))
    assert (ended, line.published()) == (0, [])
    assert HOLD - 5 < line.due_in(Lane.JOBS, short.id) <= HOLD
    assert 90 < line.due_in(Lane.JOBS, long.id) <= 100
    assert running == ([short.id, long.id] if status == "running" else [])


def test_a_running_job_is_not_returned(line: Line) -> None:
    """A job that is known to run is not returned as running."""
    job = in_flight(line)
    line.store.jobs.mark_running(job, poll_after=5)
    assert apply_page(line, ("g-1", "running")) == (0, [])


def test_an_old_job_is_not_deferred(line: Line) -> None:
    """A job is deferred up to the age at which it must be polled singly, and not beyond."""
    job = in_flight(line, must_poll_after=8)
    apply_page(line, ("g-1", "queued"))
    assert 3 < line.due_in(Lane.JOBS, job.id) <= 8
    line.client.hset(keys.job(job.id), "must_poll_at", line.store.clock() - 1)
    apply_page(line, ("g-1", "queued"))
    assert 3 < line.due_in(Lane.JOBS, job.id) <= 8


def test_listed_ends_come_first(line: Line) -> None:
    """Listed ends are due before everything else in the lane."""
    first, second, ended = in_flight(line), in_flight(line, "g-2"), in_flight(line, "g-3")
    line.make_due(Lane.JOBS, first.id, second.id)
    line.client.zincrby(keys.lane(Lane.JOBS), -1, first.id)
    apply_page(line, ("g-3", "ended", 3.0))
    assert ended.id in {each.id for each in line.claimed(Lane.JOBS, limit=2)}


def test_no_job_is_deferred_past_its_deadline(line: Line) -> None:
    """No job is deferred past its deadline."""
    job = in_flight(line, deadline_at=round(line.store.clock(), 3) + 12)
    apply_page(line, ("g-1", "queued"), defer_s=300)
    assert 5 < line.due_in(Lane.JOBS, job.id) <= 12


def test_a_claimed_job_keeps_its_lease(line: Line) -> None:
    """A claimed job keeps its lease when the list defers it."""
    job = in_flight(line, after=0)
    assert [each.id for each in line.claimed(Lane.JOBS, lease_s=60)] == [job.id]
    apply_page(line, ("g-1", "queued"))
    assert 50 < line.due_in(Lane.JOBS, job.id) <= 60


@pytest.mark.parametrize("status", ["ended", "queued", "running"])
def test_generations_of_others_change_nothing(line: Line, status: str) -> None:
    """Generations of other users change nothing."""
    job = in_flight(line)
    before = {name: line.client.dump(name) for name in line.client.scan_iter()}
    assert apply_page(line, ("of-others", status, 3.0 if status == "ended" else None)) == (0, [])
    assert {name: line.client.dump(name) for name in line.client.scan_iter()} == before
    assert line.read(job).duration_s is None


@pytest.mark.parametrize("status", ["ended", "queued", "running"])
def test_an_expired_record_is_not_created(line: Line, status: str) -> None:
    """A listed generation whose job has expired creates no record."""
    job = in_flight(line)
    line.client.delete(keys.job(job.id))
    assert apply_page(line, ("g-1", status, 3.0 if status == "ended" else None)) == (0, [])
    assert not line.client.exists(keys.job(job.id))


def test_a_job_in_no_lane_is_not_scheduled(line: Line) -> None:
    """A listed job that is in no lane is not scheduled."""
    job = in_flight(line)
    line.client.zrem(keys.lane(Lane.JOBS), job.id)
    assert apply_page(line, ("g-1", "ended", 3.0)) == (0, [])
    apply_page(line, ("g-1", "queued"))
    assert line.lanes_of(job.id) == set()


def age_jobs(line: Line, jobs: list[Job], *, by_s: float) -> None:
    """Let jobs have been accepted earlier."""
    for job in jobs:
        line.client.hset(keys.job(job.id), "accepted_at", line.store.clock() - by_s)


def test_a_job_that_was_just_polled_keeps_its_interval(line: Line) -> None:
    """When list polling stops, a job is polled no earlier than an interval after its acceptance or last single poll."""
    new = in_flight(line, "g-new", after=20)
    polled = in_flight(line, "g-polled", after=20)
    age_jobs(line, [polled], by_s=60)
    line.client.hset(keys.job(polled.id), "last_polled_at", line.store.clock())
    line.store.list_polls.resume_single_polls(1, interval_s=10)
    assert all(5 < line.due_in(Lane.JOBS, job.id) <= 10 for job in (new, polled))
    line.store.list_polls.resume_single_polls(1, interval_s=600)
    assert all(line.due_in(Lane.JOBS, job.id) <= 10 for job in (new, polled)), "no job is polled later than before"


def test_deferred_jobs_are_polled_singly_again(line: Line) -> None:
    """When list polling stops, deferred jobs are due within one interval, and the others keep their time."""
    deferred = [in_flight(line, f"g-{number}", after=60) for number in range(4)]
    near = in_flight(line, "g-near", after=3)
    age_jobs(line, [*deferred, near], by_s=20)
    line.store.list_polls.resume_single_polls(5, interval_s=5)
    assert all(line.due_in(Lane.JOBS, job.id) <= 5 for job in deferred)
    assert len({round(line.due_in(Lane.JOBS, job.id)) for job in deferred}) > 1
    assert 0 < line.due_in(Lane.JOBS, near.id) <= 3


# -- the list against single polls --------------------------------------------------------------------------------


def ended_by_single_poll(line: Line, generation: str = "g-1", *, duration_s: float | None = 4.0) -> float:
    """Let a single poll show the end of a generation; return when."""
    job = in_flight(line, generation)
    assert line.finish(job, success(), polled=True, duration_s=duration_s) is not None
    return line.store.clock()


def test_an_end_of_a_single_poll_is_evidence(line: Line) -> None:
    """An end that a single poll has shown is kept with its time."""
    at = ended_by_single_poll(line)
    assert line.store.list_polls.in_flight().recently_ended == {"g-1": pytest.approx(at, abs=2)}


def test_an_end_that_the_list_showed_first_is_no_evidence(line: Line) -> None:
    """An end that the list showed first cannot confirm the list."""
    job = in_flight(line)
    apply_page(line, ("g-1", "ended", 4.0))
    assert line.finish(line.read(job), success(), polled=True, duration_s=4.0) is not None
    assert line.store.list_polls.in_flight().recently_ended == {}
    assert line.client.hlen(keys.jobs_by_generation) == 0


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.EXPIRED, JobState.FAILED])
def test_an_end_without_photogpt_is_no_evidence(line: Line, state: JobState) -> None:
    """A canceled, expired or failed job without a duration is no evidence, since PhotoGPT may go on."""
    job = in_flight(line)
    assert line.finish(job, success(state=state)) is not None
    assert line.client.hlen(keys.jobs_by_generation) == 0
    assert line.store.list_polls.in_flight().recently_ended == {}


def test_evidence_expires(line: Line) -> None:
    """Ends are kept as evidence for five minutes."""
    ended_by_single_poll(line, "g-1")
    line.client.zadd(keys.recently_ended, {"g-1": line.store.clock() - 301})
    ended_by_single_poll(line, "g-2")
    assert line.client.zrange(keys.recently_ended, 0, -1) == ["g-2"]


# -- when to poll the list ----------------------------------------------------------------------------------------


def fill_lane(line: Line, count: int) -> None:
    """Fill the lane of jobs with members."""
    line.client.zadd(keys.lane(Lane.JOBS), {f"other-{number}": line.store.clock() + 60 for number in range(count)})


def ensure_scheduled(line: Line) -> list[Tick]:
    """Ask for a list poll as the lane monitor does, and return the ticks that this publishes."""
    line.published()
    line.store.list_polls.ensure_scheduled(delay_s=0)
    return line.published()


def test_few_jobs_schedule_no_list_poll(line: Line) -> None:
    """Below the minimum in flight no list poll is scheduled and nothing is written."""
    fill_lane(line, MIN_IN_FLIGHT - 1)
    assert ensure_scheduled(line) == []
    assert line.store.list_polls.state() is None
    assert line.lanes_of(NAME) == set()


def test_enough_jobs_schedule_one_list_poll(line: Line) -> None:
    """With the minimum in flight one list poll is scheduled after the given delay, however many workers ask."""
    fill_lane(line, MIN_IN_FLIGHT)
    line.store.list_polls.ensure_scheduled(delay_s=3)
    (tick,) = line.published()
    assert tick.lane is Lane.LIST_POLLS
    assert 1 < line.due_in(Lane.LIST_POLLS, NAME) <= 3
    assert [ensure_scheduled(line) for _ in range(3)] == [[], [], []]
    assert line.client.zcard(keys.lane(Lane.LIST_POLLS)) == 1


def test_a_list_poll_under_way_is_not_scheduled_again(line: Line) -> None:
    """A list poll under way is not scheduled again."""
    fill_lane(line, MIN_IN_FLIGHT)
    (tick,) = ensure_scheduled(line)
    claim = line.store.lanes.claim(
        Lane.LIST_POLLS, tick.token, limit=1, lease_s=60, pattern=keys.list_poll(ID), fields=("id", "failures")
    )
    assert claim is not None
    assert claim.records == [[NAME, None]]
    assert ensure_scheduled(line) == []
    assert 50 < line.due_in(Lane.LIST_POLLS, NAME) <= 60


LEARNED = ListPollState(
    id=NAME,
    page_size=50.0,
    density=2.5,
    failures=1,
    ends_per_s=0.5,
    interval_s=1.5,
    window_s=30,
    pages=4,
)


def test_the_state_is_stored_with_the_next_list_poll(line: Line) -> None:
    """Rescheduling stores the whole state, and schedules the next list poll."""
    fill_lane(line, MIN_IN_FLIGHT)
    line.store.list_polls.ensure_scheduled(delay_s=0)
    line.store.list_polls.reschedule(LEARNED, retry_in_s=7)
    known = line.store.list_polls.state()
    assert known is not None
    assert replace(known, at=0) == LEARNED
    assert known.at == pytest.approx(line.store.clock(), abs=5)
    assert 2 < line.due_in(Lane.LIST_POLLS, NAME) <= 7


def test_no_next_list_poll(line: Line) -> None:
    """Rescheduling without a delay schedules nothing until the lane monitor asks again, and keeps the state."""
    fill_lane(line, MIN_IN_FLIGHT)
    line.store.list_polls.ensure_scheduled(delay_s=0)
    line.published()
    line.store.list_polls.reschedule(LEARNED, retry_in_s=None)
    assert line.published() == []
    assert line.lanes_of(NAME) == set()
    assert len(ensure_scheduled(line)) <= 1
    assert line.lanes_of(NAME) == {Lane.LIST_POLLS}
    assert line.client.hget(keys.list_poll(NAME), "page_size") == "50.0"


def test_ages_are_sampled(line: Line) -> None:
    """The sample has the number of jobs in flight, and the ages that are known."""
    assert line.store.list_polls.in_flight() == InFlight(in_flight=0, ages=[], throttled=False, recently_ended={})
    in_flight(line)
    fill_lane(line, 3)
    sample = line.store.list_polls.in_flight()
    assert (sample.in_flight, sample.throttled) == (4, False)
    assert len(sample.ages) == 1
    assert 0 <= sample.ages[0] < 10
    line.client.hset(keys.loop(Lane.TRIGGERS), "cap", "3")
    assert line.store.list_polls.in_flight().throttled


# -- the shared rate ----------------------------------------------------------------------------------------------


def test_without_a_rate_there_is_no_wait(line: Line) -> None:
    """Without a rate a request never waits, and no key is written."""
    assert line.store.list_polls.take_rate_token() == 0
    assert not line.client.exists(keys.rate)


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 4])
def test_rate_tokens_run_out(with_settings: WithSettings, rate: float) -> None:
    """The tokens of one second can be taken at once, and then the wait is until the next one."""
    line = with_settings(max_requests_per_s=rate).line
    taken, wait = take_all(line.store.list_polls.take_rate_token)
    assert 1 <= taken <= max(1, math.floor(rate)) + 1 + 2 * rate  # the last: a busy machine
    assert 0 < wait <= 1 / rate
    line.client.hset(keys.rate, "at", line.store.clock() - 1 / rate - 0.01)
    assert line.store.list_polls.take_rate_token() == 0


@pytest.mark.parametrize("rate", [0.5, 2])
def test_list_polls_and_claims_share_one_rate(with_settings: WithSettings, rate: float) -> None:
    """List polls and claims share one rate."""
    line = with_settings(max_requests_per_s=rate).line
    job = line.submitted()
    take_all(line.store.list_polls.take_rate_token)
    assert line.claimed(Lane.JOBS) == []
    line.client.hset(keys.rate, "at", line.store.clock() - 1 / rate - 0.01)
    assert [each.id for each in line.claimed(Lane.JOBS)] == [job.id]
    assert take_all(line.store.list_polls.take_rate_token)[0] <= 1 + 2 * rate


def take_all(take_rate_token: Callable[[], float]) -> tuple[int, float]:
    """Take tokens until there are none; return their number and the wait."""
    taken = 0
    while not (wait := take_rate_token()):
        taken += 1
    return taken, wait
