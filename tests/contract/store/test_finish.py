"""The end of a job: stored once, complete, and published."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.store.conftest import Ended, Line
from tests.running import keys
from tests.unit.factories import success
from worker.domain.decision import Reschedule, Submitted
from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.job import TERMINAL, Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store import codec, deliveries
from worker.store.deliveries import decode
from worker.store.keys import ID

URL = "https://shop.example/hooks"


def finish(line: Line, job: Job, ending: JobResult | None = None, **options: Any) -> Ended:
    """End a job, which must succeed."""
    finished = line.finish(job, ending or success(), **options)
    assert finished is not None
    return finished


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_end_is_the_same_everywhere(line: Line, kind: Kind, state: JobState) -> None:
    """Record, event, webhook and result have the same outcome."""
    job = line.submitted(kind, webhook_url=URL, metadata={"order": 7})
    finished = finish(line, job, success(state=state, error=None if state is JobState.SUCCEEDED else "why"))
    noun = "model" if kind is Kind.TRAINING else "job"
    assert line.store.jobs.outcome(job.id) == finished.outcome
    *_, (_, event) = line.client.xrange(keys.events(job.id))
    assert (event["type"], event["sequence"]) == (f"{noun}.{state.value}", "4")
    assert json.loads(event["data"]) == finished.outcome
    *_, (_, of_all) = line.client.xrange(keys.all_events)
    assert {name: of_all[name] for name in event} == event
    (delivery,) = line.store.delivery_history.of_job(job.id)
    assert json.loads(str(line.client.hget(keys.delivery(delivery["id"]), "body")))["data"] == finished.outcome
    assert finished.continuation == '{"task":"t"}'
    assert line.lanes_of(job.id) == {Lane.RESULTS}  # due after the head start, too late for a tick
    assert {tick.lane for tick in finished.ticks} == {Lane.DELIVERIES}


@pytest.mark.parametrize("stage", ["queued", "submitted", "running"])
def test_a_job_can_end_in_every_state(line: Line, stage: str) -> None:
    """A job can end in every state, and then waits for its result only."""
    job = line.accepted() if stage == "queued" else line.submitted()
    if stage == "running":
        line.store.jobs.mark_running(job, poll_after=5)
    finish(line, line.read(job))
    assert line.lanes_of(job.id) == {Lane.RESULTS}
    assert 5 < line.due_in(Lane.RESULTS, job.id) <= 10


def test_a_second_end_changes_nothing(line: Line) -> None:
    """A second end of a job changes no key."""
    job = line.submitted(webhook_url=URL)
    finish(line, job)
    before = {name: line.client.dump(name) for name in line.client.scan_iter()}
    other = JobResult(state=JobState.FAILED, reason=Reason.GENERATION_FAILED, error="late", model_id="other")
    assert line.finish(job, other, polled=True) is None
    assert {name: line.client.dump(name) for name in line.client.scan_iter()} == before


def test_of_concurrent_ends_one_counts(line: Line) -> None:
    """Of several ends at the same moment one is stored, with one event and one webhook."""
    job = line.submitted(webhook_url=URL)
    with ThreadPoolExecutor(8) as pool:
        ends = list(
            pool.map(lambda state: line.finish(job, success(state=state)), sorted(TERMINAL) * 4),
        )
    (finished,) = [end for end in ends if end is not None]
    assert line.store.jobs.outcome(job.id) == finished.outcome
    assert len(line.events(job)) == 3
    assert len(line.store.delivery_history.of_job(job.id)) == 1


def test_the_last_poll_is_counted(line: Line) -> None:
    """The poll that shows the end is counted in the record and in the outcome."""
    job = line.submitted()
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=0, polled=True))])
    finished = finish(line, line.read(job), polled=True)
    assert finished.outcome["polls"] == 2
    assert line.read(job).polls == 2


def test_a_success_has_no_reason(line: Line) -> None:
    """The outcome of a success has no reason and no error from before."""
    job = line.submitted()
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=0, reason=Reason.UNAVAILABLE, error="was away"))])
    finished = finish(line, line.read(job))
    assert (finished.outcome["reason"], finished.outcome["error"]) == (None, None)
    assert line.store.jobs.outcome(job.id) == finished.outcome


def test_an_outdated_end_is_refused(line: Line) -> None:
    """An end that was decided before PhotoGPT accepted the job is refused, or is what the record has."""
    old = line.accepted()
    assert line.store.jobs.record_intent(old)
    line.store.jobs.mark_submitted(old, Submitted("g-1"), poll_after=5)
    finished = line.finish(old, JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    assert finished is None or finished.outcome == line.store.jobs.outcome(old.id)


def test_an_end_that_misses_an_intent_is_refused(line: Line) -> None:
    """An end that was decided before the trigger is refused, since its error denies a charge."""
    old = line.accepted()
    assert line.store.jobs.record_intent(old)
    assert line.finish(old, JobResult(state=JobState.CANCELED, reason=Reason.CANCELED)) is None
    assert line.finish(line.read(old), JobResult(state=JobState.CANCELED, reason=Reason.CANCELED)) is not None


@pytest.mark.parametrize("stage", ["queued", "submitted", "running"])
@pytest.mark.parametrize("damage", [{"request": "{"}, {"kind": "song"}, {"deadline_at": "soon"}])
def test_a_damaged_record_can_be_ended(line: Line, stage: str, damage: dict[str, str]) -> None:
    """A job with a damaged record can be ended in every state."""
    job = line.accepted() if stage == "queued" else line.submitted()
    if stage == "running":
        line.store.jobs.mark_running(job, poll_after=0)
    line.client.hset(keys.job(job.id), mapping=damage)
    found = line.claim(Lane.TRIGGERS if stage == "queued" else Lane.JOBS)
    assert found is not None
    (record,) = found.records
    saved = codec.salvage(record, at=line.store.clock())
    broken = JobResult(state=JobState.FAILED, reason=Reason.INTERNAL_ERROR, error="cannot be read")
    assert line.finish(saved, broken) is not None
    assert line.lanes_of(job.id) == {Lane.RESULTS}


def test_faults_of_a_job_are_counted(line: Line) -> None:
    """Faults of a job are counted, and those of a job without a record are not."""
    line.store.jobs.count("stranger", "faults")
    assert line.client.keys() == []
    job = line.accepted()
    assert [line.store.jobs.count(job.id, "faults") for _ in range(3)] == [1, 2, 3]


def test_duplicates_are_due_at_the_end(line: Line) -> None:
    """The duplicates of a job are due when it ends."""
    owner = line.accepted(idempotency_key="order-7")
    duplicates = [line.accepted(idempotency_key="order-7") for _ in range(2)]
    line.claimed(Lane.TRIGGERS)
    finished = finish(line, owner)
    assert all(line.due_in(Lane.TRIGGERS, job.id) <= 1 for job in duplicates)
    assert Lane.TRIGGERS in {tick.lane for tick in finished.ticks}
    assert {job.id for job in line.claimed(Lane.TRIGGERS)} == {job.id for job in duplicates}


def test_ended_duplicates_are_not_scheduled(line: Line) -> None:
    """A duplicate that has ended is not scheduled by the end of the first job."""
    owner = line.accepted(idempotency_key="order-7")
    duplicate = line.accepted(idempotency_key="order-7")
    finish(line, line.read(duplicate), success(state=JobState.CANCELED))
    finish(line, owner)
    assert line.lanes_of(duplicate.id) == {Lane.RESULTS}


def test_the_retention_starts_with_the_end(line: Line) -> None:
    """Everything that belongs to a job expires with the retention after its end."""
    job = line.submitted(webhook_url=URL, idempotency_key="order-7", deadline_at=line.store.clock() + 80_000)
    line.accepted(idempotency_key="order-7")
    finish(line, job)
    for name in (keys.job(job.id), keys.events(job.id), keys.duplicates(job.id)):
        assert 4990 < line.ttl(name) <= 5000, name
    (delivery,) = line.store.delivery_history.of_job(job.id)
    assert line.ttl(keys.deliveries(job.id)) == line.ttl(keys.delivery(delivery["id"]))


def test_a_published_result_is_not_sent_again(line: Line) -> None:
    """A job whose result is published leaves the lane of results and keeps its record."""
    job = line.submitted()
    finish(line, job)
    assert not line.client.hexists(keys.job(job.id), "published_at")
    for _ in range(2):
        line.store.jobs.mark_published(job.id)
    assert line.client.hexists(keys.job(job.id), "published_at")
    assert line.lanes_of(job.id) == set()
    assert 4990 < line.ttl(keys.job(job.id)) <= 5000


def test_an_unknown_job_cannot_be_published(line: Line) -> None:
    """Marking the result of an unknown job as published writes nothing."""
    line.store.jobs.mark_published("stranger")
    assert line.client.keys() == []


def test_a_fault_of_its_message_does_not_change_an_ended_job(line: Line) -> None:
    """A fault while the result of an ended job is sent does not change its outcome."""
    job = line.submitted()
    finished = finish(line, job)
    line.make_due(Lane.RESULTS, job.id)
    line.store.lanes.ensure_ticks([Lane.RESULTS])
    (claimed,) = line.claimed(Lane.RESULTS)
    again = Reschedule(after=30, reason=Reason.INTERNAL_ERROR, error="handling raised TimeoutError")
    line.store.lanes.reschedule(Lane.RESULTS, [(claimed, again)])
    assert line.lanes_of(job.id) == {Lane.RESULTS}
    assert line.store.jobs.outcome(job.id) == finished.outcome


# -- deliveries -----------------------------------------------------------------------------------------------------


def delivery_of(line: Line, **changes: Any) -> Delivery:
    """Return the webhook of a job that ended."""
    job = line.submitted(webhook_url=URL, **changes)
    finish(line, job)
    token = line.token(Lane.DELIVERIES)
    claim = line.store.lanes.claim(
        Lane.DELIVERIES, token, limit=9, lease_s=30, pattern=keys.delivery(ID), fields=deliveries.FIELDS
    )
    assert claim is not None
    return decode(claim.records[-1])


def test_a_delivered_webhook_is_done(line: Line) -> None:
    """A delivered webhook keeps its attempt and leaves every lane."""
    delivery = delivery_of(line)
    line.published()
    done = line.store.deliveries.record_attempt(delivery, {"number": 1, "status": 204}, state="delivered")
    assert (line.published(), done.disabled) == ([], None)
    (shown,) = line.store.delivery_history.of_job(delivery.job_id)
    assert (shown["state"], shown["attempts"]) == ("delivered", [{"number": 1, "status": 204}])
    assert (shown["url"], "body" in shown) == (URL, False)
    assert line.lanes_of(delivery.id) == set()


def test_a_failed_attempt_is_retried_in_another_lane(line: Line) -> None:
    """A failed attempt is retried in the lane of redeliveries until the webhook is dead."""
    delivery = delivery_of(line)
    line.published()
    line.store.deliveries.record_attempt(delivery, {"number": 1}, state="pending", retry_in_s=5)
    (tick,) = line.published()
    assert tick.lane is Lane.REDELIVERIES
    assert line.lanes_of(delivery.id) == {Lane.REDELIVERIES}
    assert 4 < line.due_in(Lane.REDELIVERIES, delivery.id) <= 5
    line.store.deliveries.record_attempt(delivery, {"number": 2}, state="dead")
    assert line.lanes_of(delivery.id) == set()
    (shown,) = line.store.delivery_history.of_job(delivery.job_id)
    assert (shown["state"], [attempt["number"] for attempt in shown["attempts"]]) == ("dead", [1, 2])


@pytest.mark.parametrize("end", ["delivered", "dead"])
def test_an_ended_webhook_keeps_its_state(line: Line, end: str) -> None:
    """A late failure of a second worker does not change a webhook that has ended."""
    delivery = delivery_of(line)
    line.store.deliveries.record_attempt(delivery, {"number": 1}, state=end)
    line.published()
    line.store.deliveries.record_attempt(delivery, {"number": 1}, state="pending", retry_in_s=5)
    assert line.published() == []
    (shown,) = line.store.delivery_history.of_job(delivery.job_id)
    assert (shown["state"], len(shown["attempts"])) == (end, 1)
    assert line.lanes_of(delivery.id) == set()


def test_an_expired_webhook_is_not_created(line: Line) -> None:
    """An attempt at a webhook whose record has expired creates none."""
    delivery = delivery_of(line)
    line.client.delete(keys.delivery(delivery.id))
    line.store.deliveries.record_attempt(delivery, {"number": 1}, state="pending", retry_in_s=5)
    assert line.client.exists(keys.delivery(delivery.id)) == 0
    assert line.lanes_of(delivery.id) == set()
    assert line.store.delivery_history.of_job(delivery.job_id) == []


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_webhook_is_kept_longer_than_its_schedule(line: Line, attempts: int) -> None:
    """The record of a webhook is kept for longer than its retries take, even with a short retention."""
    delivery = delivery_of(line)
    for number in range(attempts):
        line.store.deliveries.record_attempt(delivery, {"number": number + 1}, state="pending", retry_in_s=5)
    assert line.ttl(keys.delivery(delivery.id)) > sum(SCHEDULE_S)
