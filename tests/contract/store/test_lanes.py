"""Claims and loops: nothing is forgotten, and one message is on its way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.contract.store.conftest import Line
from tests.waiting import wait_until
from worker.domain.decision import Reschedule
from worker.domain.job import Job
from worker.store import keys
from worker.store.codec import FIELDS
from worker.store.keys import Lane
from worker.store.lanes import Tick

GRACE_S = 2.0
"""After which prelude.lua takes a message for lost."""


def missing(line: Line, lanes: Iterable[Lane] = Lane) -> list[Tick]:
    """Return the ticks that the lane monitor finds missing."""
    line.published()
    line.store.lanes.ensure_ticks(lanes)
    return line.published()


def reschedule(line: Line, waiting: list[tuple[Job, Reschedule]]) -> list[Tick]:
    """Put jobs back into the lane of jobs, and return the ticks that this publishes."""
    line.published()
    line.store.jobs.reschedule(Lane.JOBS, waiting)
    return line.published()


def test_a_claim_hands_out_what_is_due(line: Line) -> None:
    """Oldest first, and not more than was asked for."""
    jobs = [line.accepted() for _ in range(5)]
    claim = line.claim(Lane.TRIGGERS, limit=3)
    assert claim is not None
    assert [record[0] for record in claim.records] == [job.id for job in jobs[:3]]
    assert claim.at == pytest.approx(line.store.clock(), abs=5)


def test_a_claim_is_a_lease(line: Line) -> None:
    """A worker that dies loses nothing: its claims come due again."""
    job = line.accepted()
    assert line.claimed(Lane.TRIGGERS, lease=30) == [job]
    assert 25 < line.due_in(Lane.TRIGGERS, job.id) <= 30
    assert line.claimed(Lane.TRIGGERS) == []
    line.make_due(Lane.TRIGGERS, job.id)
    assert line.claimed(Lane.TRIGGERS) == [job]


def test_a_short_lease_ends_by_itself(line: Line) -> None:
    """By the server's clock."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS, lease=0.05)
    wait_until(lambda: line.claimed(Lane.TRIGGERS) == [job], "the lease ends", within=5)


def test_a_token_is_used_once(line: Line) -> None:
    """Of two messages that carry it, one goes on."""
    line.accepted()
    token = line.token(Lane.TRIGGERS)
    assert line.claim(Lane.TRIGGERS, token=token) is not None
    assert line.claim(Lane.TRIGGERS, token=token) is None


@pytest.mark.parametrize("token", ["0", "999", "x", ""])
def test_a_stranger_token_does_nothing(line: Line, token: str) -> None:
    """Nor does it use up the right one."""
    job = line.accepted()
    stranger = line.store.lanes.claim(Lane.TRIGGERS, token, limit=9, lease=9, prefix=keys.JOB, fields=FIELDS)
    assert stranger is None
    assert line.claimed(Lane.TRIGGERS) == [job]


def test_a_full_claim_wakes_the_next_tick_at_once(line: Line) -> None:
    """More workers share a backlog: the gap between two ticks of a lane is for what comes due one by one."""
    for _ in range(3):
        line.accepted()
    claim = line.claim(Lane.TRIGGERS, limit=2)
    assert claim is not None
    tick = claim.next_tick
    assert tick is not None
    assert tick.delay == 0
    assert line.claimed(Lane.TRIGGERS, token=tick.token)[0].id == "job-3"


def test_an_empty_lane_sleeps(line: Line) -> None:
    """What was claimed is the claimant's to put back; its lease is watched."""
    line.accepted()
    claim = line.claim(Lane.TRIGGERS)
    assert claim is not None
    assert claim.next_tick is None


def test_a_vanished_record_leaves_its_lane(line: Line) -> None:
    """Its TTL ended while nobody looked."""
    job, other = line.accepted(), line.accepted()
    line.client.delete(keys.job(job.id))
    assert line.claimed(Lane.TRIGGERS) == [other]
    assert line.lanes_of(job.id) == set()


def test_a_vanished_record_is_not_brought_back(line: Line) -> None:
    """Its TTL ended while it was claimed; a stub without an end would stay for ever."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    line.client.delete(keys.job(job.id))
    line.store.jobs.reschedule(Lane.JOBS, [(job, Reschedule(after=1, polled=True, error="x"))])
    assert line.client.exists(keys.job(job.id)) == 0


def test_a_paused_lane_hands_out_nothing(line: Line) -> None:
    """PhotoGPT asked for a pause; the message comes back when it is over."""
    job, other = line.accepted(), line.accepted()
    line.claimed(Lane.TRIGGERS, limit=1)
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=4, pause_lane=True))])
    claim = line.claim(Lane.TRIGGERS)
    assert claim is not None
    assert claim.records == []
    tick = claim.next_tick
    assert tick is not None
    assert 3 < tick.delay <= 4
    assert line.due_in(Lane.TRIGGERS, other.id) < 0


def test_a_shorter_pause_does_not_shorten_a_longer_one(line: Line) -> None:
    """Another tick of the same lane met a milder answer a moment later."""
    job = line.accepted()
    for seconds in (60, 1):
        line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=seconds, pause_lane=True))])
    paused = float(str(line.client.hget(keys.loop(Lane.TRIGGERS), "paused")))
    assert paused - line.store.clock() > 50


def test_a_pause_concerns_its_lane_only(line: Line) -> None:
    """Looking goes on while triggering rests."""
    seen = line.submitted()
    waiting = line.accepted()
    line.store.jobs.reschedule(Lane.TRIGGERS, [(waiting, Reschedule(after=60, pause_lane=True))])
    assert [job.id for job in line.claimed(Lane.JOBS)] == [seen.id]


def test_a_message_on_its_way_is_not_sent_twice(line: Line) -> None:
    """The watch asks every second; most of the time nothing is missing."""
    line.accepted()
    assert missing(line) == []


def test_a_lost_message_is_sent_again(line: Line) -> None:
    """Once, and with the same token, so that the first may still come."""
    (first,) = line.accept(line.job())
    line.client.hset(keys.loop(Lane.TRIGGERS), "armed", line.store.clock() - GRACE_S - 0.5)
    (again,) = missing(line)
    assert (again.lane, again.token) == (first.lane, first.token)
    assert missing(line) == []


def test_a_loop_that_was_forgotten_is_started(line: Line) -> None:
    """Redis lost the hash, or never had it: members alone are enough."""
    job = line.accepted()
    line.client.delete(keys.loop(Lane.TRIGGERS))
    (tick,) = missing(line)
    assert line.claimed(Lane.TRIGGERS, token=tick.token) == [job]


def test_a_claimant_that_died_is_noticed(line: Line) -> None:
    """Nobody put its claims back; when the lease is nearly over a message is missing."""
    job = line.accepted()
    line.claimed(Lane.TRIGGERS, lease=4)
    line.client.hset(keys.loop(Lane.TRIGGERS), "ticked", line.store.clock() - 60)
    (tick,) = missing(line)
    assert tick.lane is Lane.TRIGGERS
    assert 3 < tick.delay <= 4
    assert line.due_in(Lane.TRIGGERS, job.id) > 3


def test_members_far_away_need_no_message(line: Line) -> None:
    """No message may wait longer than a fraction of the visibility timeout; the watch sees to them in time."""
    job = line.submitted()
    line.client.zadd(keys.lane(Lane.JOBS), {job.id: line.store.clock() + 3600})
    assert missing(line, [Lane.JOBS]) == []


def test_no_message_waits_long(line: Line) -> None:
    """Whatever is due when."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    (tick,) = reschedule(line, [(job, Reschedule(after=3000))])
    assert tick.delay <= 8.0
    claim = line.claim(Lane.JOBS, token=tick.token)
    assert claim is not None
    assert claim.records == []


def test_empty_lanes_are_quiet(line: Line) -> None:
    """Nothing is sent for nothing."""
    assert missing(line) == []
    assert line.store.lanes.sizes() == dict.fromkeys(Lane, 0)


def test_sizes_are_counted(line: Line) -> None:
    """For people who watch."""
    line.accepted()
    line.submitted()
    assert line.store.lanes.sizes() == dict.fromkeys(Lane, 0) | {Lane.TRIGGERS: 1, Lane.JOBS: 1}


def test_sooner_work_gets_a_sooner_message(line: Line) -> None:
    """A message that is on its way for later is overtaken, under the same token."""
    late, soon = line.submitted(), line.submitted(generation="g-2")
    line.claimed(Lane.JOBS)
    (first,) = reschedule(line, [(late, Reschedule(after=7))])
    (second,) = reschedule(line, [(soon, Reschedule(after=1))])
    assert second.token == first.token
    assert second.delay < 2 < first.delay
