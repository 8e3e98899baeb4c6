"""Accepting a job: all of it is stored, or nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.contract.store.conftest import Line
from tests.running import keys
from tests.unit.factories import success
from tests.waiting import wait_until
from worker.domain.job import JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store.records import JobKnown, KeyConflict, Unaccepted

UNPAID = JobResult(state=JobState.FAILED, reason=Reason.UNAVAILABLE)


@pytest.mark.parametrize("kind", Kind)
def test_an_accepted_job_can_be_read(line: Line, kind: Kind) -> None:
    """An accepted job can be read with every field, and is due in the lane of triggers."""
    job = line.accepted(kind, metadata={"order": 7}, webhook_events=("job.failed",), idempotency_key="k")
    assert line.read(job) == job
    assert line.lanes_of(job.id) == {Lane.TRIGGERS}
    assert line.due_in(Lane.TRIGGERS, job.id) <= 0
    assert line.store.job_history.continuation(job.id) == '{"task":"t"}'


def test_accepting_appends_an_event(line: Line) -> None:
    """Accepting a job appends `job.queued` to the job's stream and to that of all jobs."""
    job = line.accepted()
    assert line.events(job) == ["job.queued"]
    ((_, event),) = line.client.xrange(keys.all_events)
    assert (event["job"], event["type"], event["sequence"]) == (job.id, "job.queued", "1")


def test_a_stream_takes_little_memory(line: Line) -> None:
    """The stream of a job takes less than 1,500 bytes, not the 4 kB of a new stream."""
    accepted, refused = line.accepted(), line.job()
    assert line.finish(refused, success(state=JobState.FAILED), unaccepted=Unaccepted("", "")) is not None
    for job in (accepted, refused):
        assert line.client.memory_usage(keys.events(job.id), samples=0) < 1500
        assert line.ttl(keys.events(job.id)) > 0


def test_a_reader_that_waits_before_the_job_misses_nothing(line: Line) -> None:
    """A reader that waits on a stream before its job is accepted gets the first event, and then the next."""
    job = line.job()
    stream = keys.events(job.id)

    def has_reader() -> bool:
        return any(each["cmd"] == "xread" and "b" in each["flags"] for each in line.client.client_list())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(line.client.xread, {stream: "0-0"}, block=20_000)
        wait_until(has_reader, "a reader waits")
        line.accept(job)
        ((_, [(entry, event)]),) = waiting.result()
        assert event["type"] == "job.queued"
        waiting = pool.submit(line.client.xread, {stream: entry}, block=20_000)
        wait_until(has_reader, "the reader waits again")
        assert line.finish(job, success()) is not None
        ((_, [(_, event)]),) = waiting.result()
    assert event["type"] == "job.succeeded"


def test_two_jobs_share_a_tick(line: Line) -> None:
    """The first job publishes a tick of the lane of triggers, and the second shares it."""
    (tick,) = line.accept(line.job())
    assert (tick.lane, tick.token) == (Lane.TRIGGERS, line.token(Lane.TRIGGERS))
    assert line.accept(line.job()) == []


def test_a_known_id_changes_nothing(line: Line) -> None:
    """A second job with a known id changes nothing, and the answer has the digest of the first."""
    job = line.accepted()
    other = line.job(id=job.id, request={"modelID": "other"}, webhook_url="https://shop.example/2")
    answer = line.store.jobs.accept(other, digest="another", continuation="{}")
    assert answer == JobKnown("digest")
    assert line.read(job) == job
    assert line.events(job) == ["job.queued"]
    assert line.store.job_history.continuation(job.id) == '{"task":"t"}'


def test_a_repeated_call_changes_nothing(line: Line) -> None:
    """A repeat of the same call, as redis-py makes it when an answer is lost, changes nothing."""
    job = line.accepted(webhook_url="https://shop.example", webhook_events=("job.queued",))
    assert line.store.jobs.accept(job, digest="digest", continuation="{}") == JobKnown("digest")
    assert line.client.zcard(keys.lane(Lane.DELIVERIES)) == 1


def test_the_same_key_and_body_make_a_duplicate(line: Line) -> None:
    """A job with the idempotency key and the body of another becomes its duplicate."""
    owner = line.accepted(idempotency_key="order-7")
    duplicate = line.accepted(idempotency_key="order-7")
    assert line.read(duplicate).duplicate_of == owner.id
    assert line.read(owner).duplicate_of is None
    assert line.client.smembers(keys.duplicates(owner.id)) == {duplicate.id}


def test_a_third_job_is_a_duplicate_of_the_first(line: Line) -> None:
    """A third job with the same idempotency key becomes a duplicate of the first, not of the second."""
    owner, _, third = (line.accepted(idempotency_key="order-7") for _ in range(3))
    assert line.read(third).duplicate_of == owner.id


def test_the_same_key_with_another_body_is_a_conflict(line: Line) -> None:
    """A job with a known idempotency key and another body is refused, and nothing of it is stored."""
    owner = line.accepted(idempotency_key="order-7")
    other = line.job(idempotency_key="order-7")
    assert line.store.jobs.accept(other, digest="another", continuation="{}") == KeyConflict(owner.id)
    assert line.store.jobs.get(other.id) is None
    assert line.lanes_of(other.id) == set()
    assert line.events(other) == []


@pytest.mark.parametrize("digest", ["digest", "another"])
def test_a_key_is_free_again_after_an_unpaid_retryable_end(line: Line, digest: str) -> None:
    """A job that ended retryable and unpaid gives its key to the next job, whatever that asks for."""
    first = line.accepted(idempotency_key="order-7")
    line.finish(first, UNPAID)
    second = line.job(idempotency_key="order-7")
    line.accept(second, digest=digest)
    assert line.read(second).duplicate_of is None
    third = line.job(idempotency_key="order-7")
    line.accept(third, digest=digest)
    assert line.read(third).duplicate_of == second.id


def test_a_job_that_may_be_paid_keeps_its_key(line: Line) -> None:
    """A job that ended retryable, and was submitted or may have been, still has its key."""
    submitted = line.submitted(idempotency_key="submitted")
    asked = line.accepted(idempotency_key="asked")
    assert line.store.jobs.record_intent(asked)
    for job in (submitted, line.read(asked)):
        assert line.finish(job, UNPAID) is not None
        again = line.accepted(idempotency_key=job.idempotency_key)
        assert line.read(again).duplicate_of == job.id


def test_a_job_that_ended_for_good_keeps_its_key(line: Line) -> None:
    """A job that succeeded, was canceled, or failed for good still has its key."""
    ends = [success(), success(state=JobState.CANCELED, reason=Reason.CANCELED), replace(UNPAID, reason=Reason.REFUSED)]
    for number, end in enumerate(ends):
        owner = line.accepted(idempotency_key=f"order-{number}")
        line.finish(owner, end)
        assert line.read(line.accepted(idempotency_key=f"order-{number}")).duplicate_of == owner.id


def test_jobs_without_a_key_are_no_duplicates(line: Line) -> None:
    """Two jobs without an idempotency key are not duplicates."""
    first, second = line.accepted(), line.accepted()
    assert (line.read(first).duplicate_of, line.read(second).duplicate_of) == (None, None)


def test_records_expire(line: Line) -> None:
    """The record and the stream expire with the deadline plus the retention, the idempotency key after its own time."""
    job = line.accepted(idempotency_key="order-7")
    assert 8590 < line.ttl(keys.job(job.id)) <= 8600
    assert line.ttl(keys.events(job.id)) == line.ttl(keys.job(job.id))
    assert 690 < line.ttl(keys.idempotency("order-7")) <= 700


def test_a_webhook_for_the_first_event_is_scheduled(line: Line) -> None:
    """A webhook for `job.queued` is stored and scheduled if the producer asked for it."""
    job = line.job(webhook_url="https://shop.example/hooks", webhook_events=("job.queued",))
    ticks = line.accept(job)
    assert {tick.lane for tick in ticks} == {Lane.TRIGGERS, Lane.DELIVERIES}
    (delivery,) = line.store.delivery_history.of_job(job.id)
    assert (delivery["type"], delivery["state"], delivery["attempts"]) == ("job.queued", "pending", [])
    body = json.loads(str(line.client.hget(keys.delivery(delivery["id"]), "body")))
    assert body["data"]["state"] == "queued"


def test_a_refused_submission_ends_at_once(line: Line) -> None:
    """A refused submission has a record, a final event and a webhook, and waits in no lane but that of results."""
    job = line.job(webhook_url="https://shop.example/hooks")
    finished = line.finish(job, success(state=JobState.FAILED, images=()), unaccepted=Unaccepted('{"task":"t"}', ""))
    assert finished is not None
    assert line.lanes_of(job.id) == {Lane.RESULTS}
    assert line.events(job) == ["job.failed"]
    assert line.store.jobs.outcome(job.id) == finished.outcome
    assert len(line.store.delivery_history.of_job(job.id)) == 1


def test_a_refusal_does_not_overwrite_a_job(line: Line) -> None:
    """A refused submission with the id of an accepted job leaves that job as it is."""
    job = line.accepted()
    assert line.finish(job, success(state=JobState.FAILED), unaccepted=Unaccepted("{}", "")) is None
    assert line.read(job).state is JobState.QUEUED


def test_an_unknown_job_is_none(line: Line) -> None:
    """Every read of an unknown job returns None or nothing."""
    jobs = line.store.jobs
    assert (jobs.get("x"), jobs.outcome("x"), line.store.job_history.continuation("x")) == (None, None, None)
    assert line.store.delivery_history.of_job("x") == []


def test_accepting_takes_one_round_trip(line: Line) -> None:
    """Once a worker has loaded its scripts and read Redis' clock, accepting a job takes one round trip."""
    line.client.script_flush()
    line.store.load_scripts()
    line.store.clock()
    line.client.config_resetstat()
    line.accepted()
    stats = line.client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert stats["cmdstat_evalsha"]["failed_calls"] == 0
    assert "cmdstat_script|load" not in stats
