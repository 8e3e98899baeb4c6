"""The state of the fleet, and the totals that scripts count."""

from __future__ import annotations

import pytest

from tests.contract.store.conftest import Hooks, Line, WithSettings
from tests.running import keys
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store.fleet import FleetState
from worker.store.records import AttemptReport, Unaccepted
from worker.store.totals import read_totals
from worker.telemetry.metrics import JOBS_ACCEPTED, JOBS_ENDED, WEBHOOKS_ENDED

FAILED = JobResult(state=JobState.FAILED, reason=Reason.NOT_FOUND, error="gone")
SUCCEEDED = JobResult(state=JobState.SUCCEEDED)


def totals(line: Line) -> dict[tuple[str, ...], int]:
    """Return the totals, by the metric's name and the values of its labels."""
    return {(metric.name, *labels): number for (metric, labels), number in line.store.fleet.read().totals.items()}


def test_an_empty_store_has_an_empty_fleet(line: Line) -> None:
    """An empty Redis gives zero everywhere, and no lane is missing."""
    state = line.store.fleet.read()
    assert set(state.lanes) == set(Lane)
    assert {(lane.members, lane.due, lane.workable, lane.paused_s) for lane in state.lanes.values()} == {(0, 0, 0, 0)}
    assert (state.in_flight, state.active, state.queued, state.scheduled, state.unresolved) == (0, 0, 0, 0, 0)
    assert (state.webhooks_dead, state.webhooks_pending, state.messages_rejected) == (0, 0, 0)
    assert (state.workers, state.totals) == ({}, {})
    assert state.at == pytest.approx(line.store.clock(), abs=5)


def test_due_and_future_members_are_apart(line: Line) -> None:
    """A lane's due members are counted apart from claimed and future ones, and the oldest one's wait is measured."""
    jobs = [line.accepted() for _ in range(3)]
    line.client.zadd(keys.lane(Lane.TRIGGERS), {jobs[0].id: line.store.clock() - 40})
    line.client.zadd(keys.lane(Lane.TRIGGERS), {jobs[1].id: line.store.clock() + 500})
    state = line.store.fleet.read()
    triggers = state.lanes[Lane.TRIGGERS]
    assert (triggers.members, triggers.due, triggers.workable, state.scheduled) == (3, 2, 2, 1)
    assert 39 < triggers.oldest_overdue_s < 60
    line.claimed(Lane.TRIGGERS)
    triggers = line.store.fleet.read().lanes[Lane.TRIGGERS]
    assert (triggers.members, triggers.due, triggers.oldest_overdue_s) == (3, 0, 0)
    assert triggers.last_tick_at == pytest.approx(line.store.clock(), abs=5)


def test_a_paused_lane_has_no_workable_members(line: Line) -> None:
    """While a lane is paused its due members count, and none of them is workable."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=30, reason=Reason.UNAUTHORIZED, pause_lane=True))])
    line.make_due(Lane.JOBS, job.id)
    lane = line.store.fleet.read().lanes[Lane.JOBS]
    assert (lane.due, lane.workable) == (1, 0)
    assert 25 < lane.paused_s <= 30


def test_the_request_rate_limits_what_is_workable(line: Line, with_settings: WithSettings) -> None:
    """With a request rate, no more members of a polled lane are workable than requests may be sent now."""
    for number in range(5):
        line.submitted(generation=f"g-{number}")
    hooks = with_settings(max_requests_per_s=2)
    lanes = hooks.line.store.fleet.read().lanes
    assert (lanes[Lane.JOBS].due, lanes[Lane.JOBS].workable) == (5, 2)


def test_jobs_are_counted_by_where_they_wait(line: Line, with_settings: WithSettings) -> None:
    """Jobs in flight, active, queued and unresolved are counted apart."""
    line = with_settings(max_active=2).line
    first, admitted, queued = (line.accepted() for _ in range(3))
    line.store.lanes.admit(10)
    for job in (first, admitted):
        assert line.store.jobs.record_intent(job)
    assert line.store.jobs.mark_submitted(first, Submitted("g-1"), poll_after=0)
    line.client.zadd(keys.intents, {admitted.id: line.store.clock() - 100})
    state = line.store.fleet.read()
    assert (state.in_flight, state.active, state.queued, state.scheduled) == (1, 2, 1, 0)
    assert (state.unresolved, round(state.unresolved_oldest_s, -1)) == (1, 100)
    assert line.store.job_history.position(queued.id) == 0


def test_the_inbox_is_measured(line: Line) -> None:
    """Entries of the inbox are counted, and the wait of the oldest one is measured."""
    line.client.xadd(keys.inbox, {"job": "{}"}, id=f"{int((line.store.clock() - 30) * 1000)}-0")
    line.store.inbox.append("{}")
    state = line.store.fleet.read()
    assert (state.inbox_entries, round(state.inbox_oldest_s, -1)) == (2, 30)
    line.client.delete(keys.inbox)
    state = line.store.fleet.read()
    assert (state.inbox_entries, state.inbox_oldest_s) == (0, 0)


def test_a_trigger_in_progress_is_not_unresolved(line: Line) -> None:
    """A trigger counts as unresolved only after the deadline of a call."""
    assert line.store.jobs.record_intent(line.accepted())
    state = line.store.fleet.read()
    assert (state.unresolved, state.unresolved_oldest_s) == (0, 0)


def test_workers_are_known_by_their_signs_of_life(line: Line) -> None:
    """A worker runs while its last sign of life is recent; one that stopped is forgotten at once."""
    fleet, workers = line.store.fleet, line.store.workers
    for name in ("a", "b", "c"):
        workers.mark(name)
    workers.forget("b")
    line.client.zadd(keys.workers, {"c": line.store.clock() - 60})
    state = fleet.read()
    assert (set(state.workers), state.running_workers) == ({"a", "c"}, ["a"])
    line.client.zadd(keys.workers, {"c": line.store.clock() - 4000})
    workers.mark("a")
    assert set(fleet.read().workers) == {"a"}


def test_a_job_is_counted_once(line: Line) -> None:
    """A job counts once when it is accepted and once when it ends, however often both are tried."""
    job = line.submitted()
    line.store.jobs.accept(job, digest="digest")
    assert line.finish(job, FAILED) is not None
    assert line.finish(line.read(job), SUCCEEDED) is None
    line.store.jobs.accept(job, digest="other")
    assert totals(line) == {
        (JOBS_ACCEPTED.name, "image"): 1,
        (JOBS_ENDED.name, "image", "failed", "not_found"): 1,
    }


def test_a_refused_job_is_accepted_and_ended(line: Line) -> None:
    """A job that is refused before it was accepted counts as accepted and as ended, once."""
    job = line.job(Kind.TRAINING)
    refused = JobResult(state=JobState.FAILED, reason=Reason.INVALID_REQUEST, error="bad")
    assert line.finish(job, refused, unaccepted=Unaccepted("", "d")) is not None
    assert line.finish(job, refused, unaccepted=Unaccepted("", "d")) is None
    assert totals(line) == {
        (JOBS_ACCEPTED.name, "training"): 1,
        (JOBS_ENDED.name, "training", "failed", "invalid_request"): 1,
    }


def test_a_success_has_no_reason(line: Line) -> None:
    """A job that succeeded counts with the reason none."""
    assert line.finish(line.submitted(Kind.VIDEO), SUCCEEDED) is not None
    assert totals(line)[JOBS_ENDED.name, "video", "succeeded", "none"] == 1


def test_a_webhook_counts_when_it_enters_an_end(hooks: Hooks) -> None:
    """A failed attempt counts nothing, a dead letter counts once, and once more if it is delivered later."""
    delivery = hooks.made()
    hooks.record_attempt(delivery, AttemptReport(result="failed"))
    assert (WEBHOOKS_ENDED.name, "dead") not in totals(hooks.line)
    hooks.record_attempt(delivery, AttemptReport(result="failed"), state="dead")
    hooks.record_attempt(delivery, AttemptReport(result="failed", manual=True), state="dead")
    hooks.record_attempt(delivery, AttemptReport(result="ok", manual=True))
    hooks.record_attempt(delivery, AttemptReport(result="ok", manual=True))
    found = totals(hooks.line)
    assert (found[WEBHOOKS_ENDED.name, "dead"], found[WEBHOOKS_ENDED.name, "delivered"]) == (1, 1)
    assert hooks.line.store.fleet.read().webhooks_dead == 0


def test_unknown_totals_are_left_out() -> None:
    """Fields that name no metric, or values outside of its labels, become no series."""
    fields = {
        "jobs_accepted_total:image": "3",
        "jobs_accepted_total:song": "1",
        "jobs_ended_total:image:failed": "1",
        "jobs_ended_total:image:failed:a reason of PhotoGPT's": "1",
        "redis_up": "1",
    }
    assert read_totals(fields) == {(JOBS_ACCEPTED, ("image",)): 3}


def test_the_fleet_is_one_value(line: Line) -> None:
    """Reading the fleet takes one command and writes nothing."""
    line.store.fleet.read()
    before = set(line.client.scan_iter())
    line.client.config_resetstat()
    assert isinstance(line.store.fleet.read(), FleetState)
    assert line.client.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    assert set(line.client.scan_iter()) == before
