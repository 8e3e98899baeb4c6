"""What the list of jobs changes in the ledger: when a job is looked at, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.store.conftest import Gated, Line
from tests.unit.factories import success
from worker.domain.decision import Submitted
from worker.domain.job import Job, JobState
from worker.domain.list_poll import MIN_IN_FLIGHT, STALE_S, ListPollState
from worker.store import keys
from worker.store.keys import Lane
from worker.store.lanes import Tick
from worker.store.list_poll import NAME, Entry, PageResult

HOLD = 20.0


def page_result(
    line: Line, *entries: tuple[Any, ...], asked_at: float | None = None, defer_s: float = HOLD, own: int = 1
) -> PageResult:
    """Take in one page."""
    at = line.store.clock() if asked_at is None else asked_at
    return line.store.list_polls.apply_page([Entry(*each) for each in entries], asked_at=at, defer_s=defer_s, own=own)


def flying(
    line: Line, generation: str = "g-1", *, p95_duration_s: float = 600, after: float = 5, **changes: Any
) -> Job:
    """Return a job under way, that a list may put off."""
    job = line.accepted(**changes)
    assert line.store.jobs.record_intent(job)
    assert line.store.jobs.mark_submitted(job, Submitted(generation), poll_after=after, p95_duration_s=p95_duration_s)
    return line.read(job)


def test_what_has_ended_is_looked_at_now(line: Line) -> None:
    """And how long it took, by the list, is kept for that look."""
    job = flying(line)
    page = page_result(line, ("g-1", "ended", 4.25))
    assert (page.ours, page.forward, page.confirmed, page.lag_s) == (1, 1, 0, 0)
    assert line.due_in(Lane.JOBS, job.id) <= 0
    assert line.read(job).duration_s == 4.25
    again = page_result(line, ("g-1", "ended", 4.25))
    assert again.forward == 1 or line.due_in(Lane.JOBS, job.id) <= 0


def test_an_end_without_times(line: Line) -> None:
    """The record stays one that can be read: once it could not, and the job ended as `internal_error`."""
    job = flying(line)
    assert page_result(line, ("g-1", "ended", None)).forward == 1
    assert line.read(job).duration_s is None
    assert [claimed.id for claimed in line.claimed(Lane.JOBS)] == [job.id]


@pytest.mark.parametrize("says", ["put off", "working"])
def test_what_has_not_ended_waits(line: Line, says: str) -> None:
    """For a while; a job that waits longer than that already is not brought forward."""
    short, long = flying(line), flying(line, "g-2", after=100)
    line.published()
    page = page_result(line, ("g-1", says), ("g-2", says))
    assert (page.ours, page.forward, line.published()) == (2, 0, [])
    assert HOLD - 5 < line.due_in(Lane.JOBS, short.id) <= HOLD
    assert 90 < line.due_in(Lane.JOBS, long.id) <= 100
    assert page.running == ([short.id, long.id] if says == "working" else [])


def test_who_is_known_to_run_is_not_told_again(line: Line) -> None:
    """Its event has been written."""
    job = flying(line)
    line.store.jobs.mark_running(job, poll_after=5)
    assert page_result(line, ("g-1", "working")).running == []


def test_a_canary_is_left_alone(line: Line) -> None:
    """It counts as ours, and is looked at when it would have been."""
    job = flying(line)
    assert page_result(line, ("g-1", "see")).ours == 1
    assert 0 < line.due_in(Lane.JOBS, job.id) <= 5


def test_who_is_old_is_looked_at_singly(line: Line) -> None:
    """Whatever the list says: at once, and then not before it is twice as old."""
    job = flying(line, p95_duration_s=-1)
    line.client.hset(keys.job(job.id), "accepted_at", line.store.clock() - 30)
    assert page_result(line, ("g-1", "put off")).own == 0
    assert line.due_in(Lane.JOBS, job.id) <= 0
    assert float(line.client.hget(keys.job(job.id), "must_poll_at")) - line.store.clock() == pytest.approx(30, abs=3)
    page_result(line, ("g-1", "put off"))
    assert line.due_in(Lane.JOBS, job.id) > HOLD - 5


def test_only_a_few_of_the_old_ones(line: Line) -> None:
    """The others wait for their turn, so that a crowd that grows old together costs no look each."""
    jobs = [flying(line, f"g-{number}", p95_duration_s=-1) for number in range(5)]
    page = [(f"g-{number}", "put off") for number in range(5)]
    assert page_result(line, *page, own=2).own == 0
    assert [line.due_in(Lane.JOBS, job.id) <= 0 for job in jobs] == [True, True, False, False, False]
    assert page_result(line, *page, own=0).own == 0
    assert line.due_in(Lane.JOBS, jobs[4].id) > HOLD - 5


def test_who_is_looked_at_just_now_takes_no_turn(line: Line) -> None:
    """An old one under a lease is neither handed out twice nor counted."""
    job = flying(line, p95_duration_s=-1, after=0)
    assert [each.id for each in line.claimed(Lane.JOBS, lease=60)] == [job.id]
    assert page_result(line, ("g-1", "put off")).own == 1
    assert 50 < line.due_in(Lane.JOBS, job.id) <= 60


def test_ends_go_first(line: Line) -> None:
    """Before all that has been due for longer."""
    first, second, ended = flying(line), flying(line, "g-2"), flying(line, "g-3")
    line.make_due(Lane.JOBS, first.id, second.id)
    line.client.zincrby(keys.lane(Lane.JOBS), -1, first.id)
    page_result(line, ("g-3", "ended", 3.0))
    assert ended.id in {each.id for each in line.claimed(Lane.JOBS, limit=2)}


def test_a_list_that_is_ahead(line: Line) -> None:
    """What it shows as ended although it goes on costs a look now and then, less and less often."""
    job = flying(line)
    name, looks, age = keys.job(job.id), 0, 0.0
    while age < 500:
        if page_result(line, ("g-1", "ended", 3.0), defer_s=2).forward:
            looks += 1
        line.client.zadd(keys.lane(Lane.JOBS), {job.id: line.store.clock() + 30})  # looked at: it goes on
        for field in ("listed_ended_at", "listed_ended_retry_at"):  # a second passes
            if line.client.hexists(name, field):
                line.client.hincrbyfloat(name, field, -1)
        age += 1
    assert 7 <= looks <= 12


def test_nobody_is_put_off_past_its_deadline(line: Line) -> None:
    """The last look falls on it, whatever a list says and however little is known of durations."""
    job = flying(line, deadline_at=round(line.store.clock(), 3) + 12)
    page_result(line, ("g-1", "put off"), defer_s=300)
    assert 5 < line.due_in(Lane.JOBS, job.id) <= 12


def test_a_leased_job(line: Line) -> None:
    """Who is looked at just now keeps the lease; it is not handed out twice for being put off."""
    job = flying(line, after=0)
    assert [each.id for each in line.claimed(Lane.JOBS, lease=60)] == [job.id]
    page_result(line, ("g-1", "put off"))
    assert 50 < line.due_in(Lane.JOBS, job.id) <= 60


@pytest.mark.parametrize("says", ["ended", "put off", "working", "see"])
def test_somebody_elses(line: Line, says: str) -> None:
    """Changes nothing at all."""
    job = flying(line)
    before = {name: line.client.dump(name) for name in line.client.scan_iter()}
    page = page_result(line, ("theirs", says, 3.0 if says == "ended" else None))
    assert (page.ours, page.forward, page.confirmed, page.lag_s, page.running) == (0, 0, 0, 0, [])
    assert page.submitted_at is None
    assert {name: line.client.dump(name) for name in line.client.scan_iter()} == before
    assert line.read(job).duration_s is None


@pytest.mark.parametrize("says", ["ended", "put off", "working"])
def test_a_record_that_is_gone(line: Line, says: str) -> None:
    """Nothing grows in its place."""
    job = flying(line)
    line.client.delete(keys.job(job.id))
    page = page_result(line, ("g-1", says, 3.0 if says == "ended" else None))
    assert page.running == []
    assert not line.client.exists(keys.job(job.id))


def test_a_job_that_is_in_no_lane(line: Line) -> None:
    """Stays out of it: a list starts nothing."""
    job = flying(line)
    line.client.zrem(keys.lane(Lane.JOBS), job.id)
    assert page_result(line, ("g-1", "ended", 3.0)).forward == 0
    page_result(line, ("g-1", "put off"))
    assert line.lanes_of(job.id) == set()


def test_an_empty_page(line: Line) -> None:
    """Is one, too."""
    assert page_result(line) == PageResult(
        ours=0, forward=0, confirmed=0, lag_s=0, submitted_at=None, place=-1, own=1, running=[]
    )


def test_when_the_first_of_ours_was_submitted(line: Line) -> None:
    """From it follows how PhotoGPT's clock stands to ours."""
    flying(line)
    at = line.store.clock()
    page = page_result(line, ("theirs", "see"), ("g-1", "see"))
    assert page.place == 1
    assert page.submitted_at == pytest.approx(at, abs=5)


# -- the list against single looks -------------------------------------------------------------------------------------


def landed(line: Line, generation: str = "g-1", *, duration_s: float | None = 4.0) -> float:
    """Let a look of its own show the end of a generation; return when."""
    job = flying(line, generation)
    assert line.finish(job, success(), polled=True, duration_s=duration_s) is not None
    return line.store.clock()


def test_a_list_that_agrees(line: Line) -> None:
    """Confirms one end once."""
    landed(line)
    assert page_result(line, ("g-1", "ended", 4.0)).confirmed == 1
    assert page_result(line, ("g-1", "ended", 4.0)).confirmed == 0
    assert line.client.zcard(keys.ENDED) == 0


@pytest.mark.parametrize("says", ["put off", "working", "see"])
def test_a_list_that_lags(line: Line, says: str) -> None:
    """It shows as under way what had ended before the page was asked for; a little is forgiven."""
    at = landed(line)
    assert page_result(line, ("g-1", says), asked_at=at + STALE_S / 2).lag_s == 0
    assert page_result(line, ("g-1", says), asked_at=at - 60).lag_s == 0
    assert page_result(line, ("g-1", says), asked_at=at + 7).lag_s == pytest.approx(7, abs=1)


def test_an_end_that_the_list_told_first_is_no_evidence(line: Line) -> None:
    """It would confirm itself."""
    job = flying(line)
    page_result(line, ("g-1", "ended", 4.0))
    assert line.finish(line.read(job), success(), polled=True, duration_s=4.0) is not None
    assert line.client.zcard(keys.ENDED) == 0
    assert line.client.hlen(keys.JOBS_BY_GENERATION) == 0


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.EXPIRED, JobState.FAILED])
def test_an_end_that_is_only_ours_is_no_evidence(line: Line, state: JobState) -> None:
    """PhotoGPT goes on with what was canceled here, and its list is right to say so."""
    job = flying(line)
    assert line.finish(job, success(state=state)) is not None
    assert line.client.hlen(keys.JOBS_BY_GENERATION) == 0
    assert page_result(line, ("g-1", "working"), asked_at=line.store.clock() + 30).lag_s == 0


def test_evidence_grows_old(line: Line) -> None:
    """What ended long ago is forgotten, so that the set does not grow."""
    landed(line, "g-1")
    line.client.zadd(keys.ENDED, {"g-1": line.store.clock() - 301})
    landed(line, "g-2")
    assert line.client.zrange(keys.ENDED, 0, -1) == ["g-2"]


# -- when to sweep -----------------------------------------------------------------------------------------------------


def crowd(line: Line, count: int) -> None:
    """Let some jobs be under way, as far as the lane can tell."""
    line.client.zadd(keys.lane(Lane.JOBS), {f"other-{number}": line.store.clock() + 60 for number in range(count)})


def ensure_scheduled(line: Line) -> list[Tick]:
    """Ask for a list poll as the lane monitor does, and return the ticks that this publishes."""
    line.published()
    line.store.list_polls.ensure_scheduled()
    return line.published()


def test_few_stir_nobody(line: Line) -> None:
    """Below the least number nothing is written."""
    crowd(line, MIN_IN_FLIGHT - 1)
    assert ensure_scheduled(line) == []
    assert line.store.list_polls.state() is None
    assert line.lanes_of(NAME) == set()


def test_enough_stir_one(line: Line) -> None:
    """Once, however many workers ask."""
    crowd(line, MIN_IN_FLIGHT)
    (tick,) = ensure_scheduled(line)
    assert tick.lane is Lane.LIST_POLLS
    assert [ensure_scheduled(line) for _ in range(3)] == [[], [], []]
    assert line.client.zcard(keys.lane(Lane.LIST_POLLS)) == 1


def test_a_sweep_under_way_is_not_stirred(line: Line) -> None:
    """Its lease stands in the lane."""
    crowd(line, MIN_IN_FLIGHT)
    (tick,) = ensure_scheduled(line)
    claim = line.store.lanes.claim(
        Lane.LIST_POLLS, tick.token, limit=1, lease=60, prefix=keys.SWEEP, fields=("id", "suspensions")
    )
    assert claim is not None
    assert claim.records == [[NAME, None]]
    assert ensure_scheduled(line) == []
    assert 50 < line.due_in(Lane.LIST_POLLS, NAME) <= 60


LEARNED = ListPollState(
    id=NAME,
    page_size=50.0,
    density=2.5,
    offset_s=-0.25,
    confirmed=3,
    suspensions=1,
    min_duration_s=1.5,
    window_s=30,
    pages=4,
)


def test_rest_keeps_what_was_learned(line: Line) -> None:
    """All of it, and the next one comes due."""
    crowd(line, MIN_IN_FLIGHT)
    line.store.list_polls.ensure_scheduled()
    line.store.list_polls.reschedule(LEARNED, retry_in_s=7)
    known = line.store.list_polls.state()
    assert known is not None
    assert replace(known, at=0) == LEARNED
    assert known.at == pytest.approx(line.store.clock(), abs=5)
    assert 2 < line.due_in(Lane.LIST_POLLS, NAME) <= 7


def test_rest_for_good(line: Line) -> None:
    """Until somebody stirs again; what was learned stays."""
    crowd(line, MIN_IN_FLIGHT)
    line.store.list_polls.ensure_scheduled()
    line.published()
    line.store.list_polls.reschedule(LEARNED, retry_in_s=None)
    assert line.published() == []
    assert line.lanes_of(NAME) == set()
    assert len(ensure_scheduled(line)) <= 1
    assert line.lanes_of(NAME) == {Lane.LIST_POLLS}
    assert line.client.hget(keys.list_poll(NAME), "page_size") == "50.0"


def test_a_survey(line: Line) -> None:
    """Counts everybody, and tells ages where they are known."""
    assert line.store.list_polls.sample_ages() == (0, [])
    flying(line)
    crowd(line, 3)
    count, ages = line.store.list_polls.sample_ages()
    assert count == 4
    assert len(ages) == 1
    assert 0 <= ages[0] < 10


# -- the shared rate ---------------------------------------------------------------------------------------------------


def test_no_cap_no_wait(line: Line) -> None:
    """And no key either."""
    assert line.store.list_polls.take_rate_token() == 0
    assert not line.client.exists(keys.RATE)


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 4])
def test_permits_run_out(gated: Gated, rate: float) -> None:
    """At most a second's worth at once, at least one; then the wait is until the next one is saved up."""
    line = gated(max_requests_per_s=rate).line
    taken, wait = drain(line.store.list_polls.take_rate_token)
    assert 1 <= taken <= max(1, math.floor(rate)) + 1 + 2 * rate  # the last: a busy machine
    assert 0 < wait <= 1 / rate
    line.client.hset(keys.RATE, "at", line.store.clock() - 1 / rate - 0.01)
    assert line.store.list_polls.take_rate_token() == 0


@pytest.mark.parametrize("rate", [0.5, 2])
def test_sweeps_and_claims_share_one_rate(gated: Gated, rate: float) -> None:
    """What one takes, the other has not."""
    line = gated(max_requests_per_s=rate).line
    job = line.submitted()
    drain(line.store.list_polls.take_rate_token)
    assert line.claimed(Lane.JOBS) == []
    line.client.hset(keys.RATE, "at", line.store.clock() - 1 / rate - 0.01)
    assert [each.id for each in line.claimed(Lane.JOBS)] == [job.id]
    assert drain(line.store.list_polls.take_rate_token)[0] <= 1 + 2 * rate


def drain(take_rate_token: Callable[[], float]) -> tuple[int, float]:
    """Take permits until there are none; return how many, and the wait."""
    taken = 0
    while not (wait := take_rate_token()):
        taken += 1
    return taken, wait
