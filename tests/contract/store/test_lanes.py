"""Lanes: claims, leases, pauses, and the ticks that keep each lane going."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.contract.store.conftest import Line
from tests.running import keys
from tests.waiting import wait_until
from worker.domain.decision import Reschedule
from worker.domain.job import Job
from worker.domain.lane import Lane
from worker.store.codec import FIELDS
from worker.store.keys import ID
from worker.store.lanes import Tick

GRACE_S = 1.0
"""After which prelude.lua takes a message for lost."""


def missing(line: Line, lanes: Iterable[Lane] = Lane) -> list[Tick]:
    """Return the ticks that the lane monitor finds missing."""
    line.published()
    line.store.lanes.ensure_ticks(lanes)
    return line.published()


def reschedule(line: Line, waiting: list[tuple[Job, Reschedule]]) -> list[Tick]:
    """Put jobs back into the lane of jobs, and return the ticks that this publishes."""
    line.published()
    line.store.lanes.reschedule(Lane.JOBS, waiting)
    return line.published()


def test_a_claim_returns_due_members(line: Line) -> None:
    """A claim returns due members, the oldest first, up to its limit."""
    jobs = [line.accepted() for _ in range(5)]
    claim = line.claim(Lane.TRIGGERS, limit=3)
    assert claim is not None
    assert [record[0] for record in claim.records] == [job.id for job in jobs[:3]]
    assert claim.at == pytest.approx(line.store.clock(), abs=5)


def test_a_claim_is_a_lease(line: Line) -> None:
    """A claimed member is due again when its lease ends."""
    job = line.accepted()
    assert line.claimed(Lane.TRIGGERS, lease_s=30) == [job]
    assert 25 < line.due_in(Lane.TRIGGERS, job.id) <= 30
    assert line.claimed(Lane.TRIGGERS) == []
    line.make_due(Lane.TRIGGERS, job.id)
    assert line.claimed(Lane.TRIGGERS) == [job]


def test_a_lease_ends_by_the_clock_of_redis(line: Line) -> None:
    """A short lease ends by the clock of Redis."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS, lease_s=0.05)
    wait_until(lambda: line.claimed(Lane.TRIGGERS) == [job], "the lease ends", within=5)


def test_a_token_is_used_once(line: Line) -> None:
    """Of two messages with the same token one claims."""
    line.accepted()
    token = line.token(Lane.TRIGGERS)
    assert line.claim(Lane.TRIGGERS, token=token) is not None
    assert line.claim(Lane.TRIGGERS, token=token) is None


@pytest.mark.parametrize("token", ["0", "999", "x", ""])
def test_an_unknown_token_claims_nothing(line: Line, token: str) -> None:
    """An unknown token claims nothing and does not use up the right one."""
    job = line.accepted()
    stranger = line.store.lanes.claim(Lane.TRIGGERS, token, limit=9, lease_s=9, pattern=keys.job(ID), fields=FIELDS)
    assert stranger is None
    assert line.claimed(Lane.TRIGGERS) == [job]


def test_a_full_claim_needs_a_tick_at_once(line: Line) -> None:
    """After a full claim the next tick is due at once."""
    for _ in range(3):
        line.accepted()
    claim = line.claim(Lane.TRIGGERS, limit=2)
    assert claim is not None
    tick = claim.next_tick
    assert tick is not None
    assert tick.delay == 0
    assert line.claimed(Lane.TRIGGERS, token=tick.token)[0].id == "job-3"


def test_an_empty_lane_needs_no_tick(line: Line) -> None:
    """After a claim that empties the lane no tick is needed."""
    line.accepted()
    claim = line.claim(Lane.TRIGGERS)
    assert claim is not None
    assert claim.next_tick is None


def test_an_expired_record_leaves_its_lane(line: Line) -> None:
    """A member whose record has expired leaves its lane at the next claim."""
    job, other = line.accepted(), line.accepted()
    line.client.delete(keys.job(job.id))
    assert line.claimed(Lane.TRIGGERS) == [other]
    assert line.lanes_of(job.id) == set()


def test_an_expired_record_is_not_created_again(line: Line) -> None:
    """Rescheduling a job whose record has expired creates no record."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    line.client.delete(keys.job(job.id))
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=1, polled=True, error="x"))])
    assert line.client.exists(keys.job(job.id)) == 0


def test_a_paused_lane_returns_nothing(line: Line) -> None:
    """A claim in a paused lane returns nothing, and the next tick is due at the end of the pause."""
    job, other = line.accepted(), line.accepted()
    line.claimed(Lane.TRIGGERS, limit=1)
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=4, pause_lane=True))])
    claim = line.claim(Lane.TRIGGERS)
    assert claim is not None
    assert claim.records == []
    tick = claim.next_tick
    assert tick is not None
    assert 3 < tick.delay <= 4
    assert line.due_in(Lane.TRIGGERS, other.id) < 0


def test_a_short_pause_does_not_shorten_a_longer_one(line: Line) -> None:
    """A short pause does not shorten a longer one."""
    job = line.accepted()
    for seconds in (60, 1):
        line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=seconds, pause_lane=True))])
    paused = float(str(line.client.hget(keys.loop(Lane.TRIGGERS), "paused_until")))
    assert paused - line.store.clock() > 50


def test_a_pause_holds_for_one_lane(line: Line) -> None:
    """A pause of the lane of triggers does not pause the lane of jobs."""
    seen = line.submitted()
    waiting = line.accepted()
    line.store.lanes.reschedule(Lane.TRIGGERS, [(waiting, Reschedule(after=60, pause_lane=True))])
    assert [job.id for job in line.claimed(Lane.JOBS)] == [seen.id]


def test_a_tick_on_its_way_is_not_missing(line: Line) -> None:
    """A tick that is on its way is not published again."""
    line.accepted()
    assert missing(line) == []


def test_a_lost_tick_is_published_again(line: Line) -> None:
    """A lost tick is published again once, with the same token."""
    (first,) = line.accept(line.job())
    line.client.hset(keys.loop(Lane.TRIGGERS), "soon_due_at", line.store.clock() - GRACE_S - 0.5)
    (again,) = missing(line)
    assert (again.lane, again.token) == (first.lane, first.token)
    assert missing(line) == []


def test_a_lost_loop_is_started_again(line: Line) -> None:
    """A lane whose loop is lost gets a new tick."""
    job = line.accepted()
    line.client.delete(keys.loop(Lane.TRIGGERS))
    (tick,) = missing(line)
    assert line.claimed(Lane.TRIGGERS, token=tick.token) == [job]


def test_a_dead_claimant_is_noticed(line: Line) -> None:
    """A tick is published for the end of the lease of a claimant that died."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS, lease_s=4)
    line.client.hset(keys.loop(Lane.TRIGGERS), "last_tick_at", line.store.clock() - 60)
    (tick,) = missing(line)
    assert tick.lane is Lane.TRIGGERS
    assert 3 < tick.delay <= 4
    assert line.due_in(Lane.TRIGGERS, job.id) > 3


def test_a_distant_due_time_needs_no_tick(line: Line) -> None:
    """A member that is due in an hour needs no tick yet."""
    job = line.submitted()
    line.client.zadd(keys.lane(Lane.JOBS), {job.id: line.store.clock() + 3600})
    assert missing(line, [Lane.JOBS]) == []


def test_a_due_time_beyond_the_countdown_is_left_to_the_lane_monitor(line: Line) -> None:
    """No message waits longer than eight seconds; what is due later gets its tick from the lane monitor."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    assert reschedule(line, [(job, Reschedule(after=9))]) == []
    assert missing(line, [Lane.JOBS]) == []
    line.client.zadd(keys.lane(Lane.JOBS), {job.id: line.store.clock() + 7})
    (tick,) = missing(line, [Lane.JOBS])
    assert 6 < tick.delay <= 7


def test_empty_lanes_need_no_tick(line: Line) -> None:
    """Empty lanes need no tick."""
    assert missing(line) == []
    assert line.store.lanes.sizes() == dict.fromkeys(Lane, 0)


def test_lanes_are_counted(line: Line) -> None:
    """The sizes of all lanes are counted."""
    line.accepted()
    line.submitted()
    assert line.store.lanes.sizes() == dict.fromkeys(Lane, 0) | {Lane.TRIGGERS: 1, Lane.JOBS: 1}


@pytest.mark.parametrize(("first_s", "second_s"), [(2.4, 1), (7, 4)])
def test_earlier_work_gets_an_earlier_tick(line: Line, first_s: float, second_s: float) -> None:
    """A member that is due earlier gets an earlier tick with the same token."""
    late, soon = line.submitted(), line.submitted(generation="g-2")
    line.claimed(Lane.JOBS)
    (first,) = reschedule(line, [(late, Reschedule(after=first_s))])
    (second,) = reschedule(line, [(soon, Reschedule(after=second_s))])
    assert second.token == first.token
    assert second.delay <= second_s < first.delay


def test_a_tick_that_is_due_soon_leaves_the_later_one_valid(line: Line) -> None:
    """A member that comes due now is claimed by a tick of its own, and the message for a later one stays valid."""
    late, soon = line.submitted(), line.submitted(generation="g-2")
    line.claimed(Lane.JOBS)
    (later,) = reschedule(line, [(late, Reschedule(after=7))])
    (now,) = reschedule(line, [(soon, Reschedule(after=0))])
    claim = line.claim(Lane.JOBS, token=now.token)
    assert claim is not None
    assert claim.next_tick is None  # the later one is on its way
    line.make_due(Lane.JOBS, late.id)
    assert late.id in {job.id for job in line.claimed(Lane.JOBS, token=later.token)}
