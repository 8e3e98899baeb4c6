"""Accepting a job: known to everybody or to nobody."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.store.conftest import Line
from tests.unit.factories import success
from tests.waiting import wait_until
from worker.domain.job import JobState, Kind
from worker.store import keys
from worker.store.keys import Lane
from worker.store.records import JobKnown, KeyConflict


@pytest.mark.parametrize("kind", Kind)
def test_an_accepted_job_can_be_read_back(line: Line, kind: Kind) -> None:
    """Every field, and it waits to be triggered."""
    job = line.accepted(kind, metadata={"order": 7}, webhook_events=("job.failed",), idempotency_key="k")
    assert line.read(job) == job
    assert line.lanes_of(job.id) == {Lane.TRIGGERS}
    assert line.due_in(Lane.TRIGGERS, job.id) <= 0
    assert line.store.jobs.continuation(job.id) == '{"task":"t"}'


def test_the_world_is_told(line: Line) -> None:
    """In the job's stream and in everybody's."""
    job = line.accepted()
    assert line.events(job) == ["job.queued"]
    ((_, told),) = line.client.xrange(keys.EVENTS)
    assert (told["job"], told["type"], told["sequence"]) == (job.id, "job.queued", "1")


def test_a_stream_takes_what_its_entries_take(line: Line) -> None:
    """Not the 4 kB that a server sets aside for one that begins."""
    accepted, refused = line.accepted(), line.job()
    assert line.finish(refused, success(state=JobState.FAILED), create="") is not None
    for job in (accepted, refused):
        assert line.client.memory_usage(keys.events(job.id), samples=0) < 1500
        assert line.ttl(keys.events(job.id)) > 0


def test_who_waits_before_there_is_a_job_is_told(line: Line) -> None:
    """A reader that was there first gets the first event as it happens, and the second after it."""
    job = line.job()
    stream = keys.events(job.id)

    def has_reader() -> bool:
        return any(each["cmd"] == "xread" and "b" in each["flags"] for each in line.client.client_list())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(line.client.xread, {stream: "0-0"}, block=20_000)
        wait_until(has_reader, "somebody waits")
        line.accept(job)
        ((_, [(entry, told)]),) = waiting.result()
        assert told["type"] == "job.queued"
        waiting = pool.submit(line.client.xread, {stream: entry}, block=20_000)
        wait_until(has_reader, "they wait again")
        assert line.finish(job, success()) is not None
        ((_, [(_, told)]),) = waiting.result()
    assert told["type"] == "job.succeeded"


def test_the_first_job_wakes_the_lane_and_the_second_rides_along(line: Line) -> None:
    """One message is on its way for both."""
    (tick,) = line.accept(line.job())
    assert (tick.lane, tick.token) == (Lane.TRIGGERS, line.token(Lane.TRIGGERS))
    assert line.accept(line.job()) == []


def test_the_same_id_again_changes_nothing(line: Line) -> None:
    """The first one stands, whatever the second says; its digest tells whether it is the same."""
    job = line.accepted()
    other = line.job(id=job.id, request={"modelID": "other"}, webhook_url="https://shop.example/2")
    answer = line.store.jobs.accept(other, digest="another", continuation="{}")
    assert answer == JobKnown("digest")
    assert line.read(job) == job
    assert line.events(job) == ["job.queued"]
    assert line.store.jobs.continuation(job.id) == '{"task":"t"}'


def test_a_repeat_of_the_same_call_is_known(line: Line) -> None:
    """redis-py repeats a command whose answer was lost."""
    job = line.accepted(webhook_url="https://shop.example", webhook_events=("job.queued",))
    assert line.store.jobs.accept(job, digest="digest", continuation="{}") == JobKnown("digest")
    assert line.client.zcard(keys.lane(Lane.DELIVERIES)) == 1


def test_the_same_key_and_body_follow(line: Line) -> None:
    """Two jobs, one generation."""
    owner = line.accepted(idempotency_key="order-7")
    follower = line.accepted(idempotency_key="order-7")
    assert line.read(follower).duplicate_of == owner.id
    assert line.read(owner).duplicate_of is None
    assert line.client.smembers(keys.duplicates(owner.id)) == {follower.id}


def test_a_third_follows_the_first(line: Line) -> None:
    """Not the second: there is one generation, and one owner."""
    owner, _, third = (line.accepted(idempotency_key="order-7") for _ in range(3))
    assert line.read(third).duplicate_of == owner.id


def test_the_same_key_with_another_body_is_refused(line: Line) -> None:
    """And leaves nothing behind."""
    owner = line.accepted(idempotency_key="order-7")
    other = line.job(idempotency_key="order-7")
    assert line.store.jobs.accept(other, digest="another", continuation="{}") == KeyConflict(owner.id)
    assert line.store.jobs.get(other.id) is None
    assert line.lanes_of(other.id) == set()
    assert line.events(other) == []


def test_jobs_without_a_key_have_nothing_in_common(line: Line) -> None:
    """An absent key is no key."""
    first, second = line.accepted(), line.accepted()
    assert (line.read(first).duplicate_of, line.read(second).duplicate_of) == (None, None)


def test_lifetimes(line: Line) -> None:
    """The record outlives the deadline by the retention; a key is remembered for its own time."""
    job = line.accepted(idempotency_key="order-7")
    assert 8590 < line.ttl(keys.job(job.id)) <= 8600
    assert line.ttl(keys.events(job.id)) == line.ttl(keys.job(job.id))
    assert 690 < line.ttl(keys.idempotency("order-7")) <= 700


def test_a_webhook_for_the_beginning_is_parked(line: Line) -> None:
    """Where the producer asked for it."""
    job = line.job(webhook_url="https://shop.example/hooks", webhook_events=("job.queued",))
    ticks = line.accept(job)
    assert {tick.lane for tick in ticks} == {Lane.TRIGGERS, Lane.DELIVERIES}
    (delivery,) = line.store.deliveries.of_job(job.id)
    assert (delivery["type"], delivery["state"], delivery["attempts"]) == ("job.queued", "pending", [])
    body = json.loads(str(line.client.hget(keys.delivery(delivery["id"]), "body")))
    assert body["data"]["state"] == "queued"


def test_a_job_that_never_became_one_ends_at_once(line: Line) -> None:
    """A refused submission has a record, an end, and its webhook, but waits nowhere."""
    job = line.job(webhook_url="https://shop.example/hooks")
    finished = line.finish(job, success(state=JobState.FAILED, images=()), create='{"task":"t"}')
    assert finished is not None
    assert line.lanes_of(job.id) == {Lane.RESULTS}
    assert line.events(job) == ["job.failed"]
    assert line.store.jobs.outcome(job.id) == finished.outcome
    assert len(line.store.deliveries.of_job(job.id)) == 1


def test_a_refusal_does_not_overwrite_a_job(line: Line) -> None:
    """The same id with bad arguments leaves the first one alone."""
    job = line.accepted()
    assert line.finish(job, success(state=JobState.FAILED), create="{}") is None
    assert line.read(job).state is JobState.QUEUED


def test_unknown_jobs_are_none(line: Line) -> None:
    """Nothing is made up."""
    jobs = line.store.jobs
    assert (jobs.get("x"), jobs.outcome("x"), jobs.continuation("x")) == (None, None, None)
    assert line.store.deliveries.of_job("x") == []
