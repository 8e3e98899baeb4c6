"""Jobs through the producers' package, with a real worker."""

from __future__ import annotations

import json
import uuid

import pytest
import redis

from photogpt_client import (
    Client,
    JobCanceled,
    JobFailed,
    JobGone,
    PhotoGPTError,
    RedisUnavailable,
    WaitTimeout,
    as_completed,
    image,
)
from photogpt_client.redis_transport import chunks
from tests.client.conftest import LONELY
from tests.running import WorkerProcess, keys
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import free_port

QUICK = {"sandbox": {"duration_s": 0.3}}


def test_a_job_ends(producer_client: Client, worker: WorkerProcess) -> None:
    """A job that is sent by the typed method is followed event by event to its outcome."""
    job = producer_client.image(modelID="nanobanana", prompt="Dawn", metadata={"order": 17}, extra=QUICK)
    events = list(job.events(timeout=30))
    assert [event.type for event in events][:2] == ["job.queued", "job.submitted"]
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    outcome = job.result()
    assert (outcome["state"], outcome["metadata"], outcome["id"]) == ("succeeded", {"order": 17}, job.id)
    assert events[-1].outcome == outcome == job.outcome() == producer_client.job(job.id).wait(5)
    assert [event.id for event in job.events(after=events[0].id)] == [event.id for event in events[1:]]


def test_errors_carry_the_outcome(producer_client: Client, worker: WorkerProcess) -> None:
    """A job that fails or is canceled raises an error that has the outcome and says whether to retry."""
    failing = producer_client.image(modelID="nanobanana", prompt="x", extra={"sandbox": {"end": "failed"}})
    with pytest.raises(JobFailed, match=r"generation_failed") as failed:
        failing.result(timeout=30)
    assert (failed.value.outcome["id"], failed.value.retryable) == (failing.id, False)
    later = producer_client.upscale(imageID="img_1", delay_s=900)
    with pytest.raises(WaitTimeout):
        later.wait(timeout=0.5)
    later.cancel()
    with pytest.raises(JobCanceled):
        later.result(timeout=30)


def test_an_unknown_job_is_gone(producer_client: Client, client: redis.Redis, worker: WorkerProcess) -> None:
    """A wait for an id without a job, or for one whose record has expired, ends with JobGone."""
    with pytest.raises(JobGone):
        producer_client.job("unknown").wait()
    with pytest.raises(JobGone):
        producer_client.job("unknown").outcome()
    with pytest.raises(JobGone):
        producer_client.batch("unknown").wait()
    job = producer_client.image(modelID="nanobanana", prompt="Dawn", delay_s=900)
    wait_until(lambda: client.exists(keys.job(job.id)), "the job is stored")
    client.delete(keys.job(job.id), keys.events(job.id))
    with pytest.raises(JobGone):
        job.wait()


def test_a_job_in_the_inbox_is_queued(lonely_client: Client, client: redis.Redis) -> None:
    """While no worker has accepted a job, it is queued, also for a client that knows nothing but its id."""
    job = lonely_client.image(modelID="nanobanana", prompt="Dawn")
    assert job.outcome()["state"] == "queued"
    stranger = lonely_client.job(job.id)
    assert stranger.outcome()["state"] == "queued"
    with pytest.raises(WaitTimeout):
        stranger.wait(timeout=0.6)
    client.flushall()
    with pytest.raises(JobGone):
        stranger.wait()


def test_entries_of_other_producers_are_found(lonely_client: Client, client: redis.Redis) -> None:
    """A job or batch that a shell has appended, with its own spelling of JSON or without an id, is not gone yet."""
    job = '{ "kind": "image", "batch": {"total": 2, "id": "b1"}, "id": "order-17", "request": {} }'
    client.xadd(f"{LONELY}:inbox", {"job": "no JSON"})
    client.xadd(f"{LONELY}:inbox", {"job": job})
    unnamed = str(client.xadd(f"{LONELY}:inbox", {"job": '{"kind": "image", "request": {}}'}))
    assert lonely_client.job("order-17").outcome()["state"] == "queued"
    assert lonely_client.job(f"inbox-{unnamed}").outcome()["state"] == "queued"
    with pytest.raises(WaitTimeout):
        lonely_client.batch("b1").wait(timeout=0.6)


def test_jobs_as_they_end(producer_client: Client, worker: WorkerProcess) -> None:
    """Jobs are yielded in the order of their ends, those that are gone included."""
    slow, quick = (
        producer_client.image(modelID="nanobanana", prompt="Dawn", extra={"sandbox": {"duration_s": seconds}})
        for seconds in (2.5, 0.1)
    )
    gone = producer_client.job("unknown")
    assert list(as_completed([slow, quick, gone], timeout=30)) == [gone, quick, slow]


def test_a_batch_is_repeated_without_a_job_too_many(
    producer_client: Client, client: redis.Redis, worker: WorkerProcess
) -> None:
    """A batch with refused items and a known job is sent twice, and finishes once with one job for each item."""
    jobs = [image(modelID="nanobanana", prompt=f"Dawn {number}", extra=QUICK) for number in range(5)]
    jobs.insert(2, image(modelID="nanobanana"))
    known = producer_client.submit(image(modelID="nanobanana", prompt="Dawn", id=uuid.uuid4(), extra=QUICK))
    jobs += [image(modelID="nanobanana", prompt="Dawn", id=known.id, extra=QUICK)] * 2
    name = str(uuid.uuid4())
    first = producer_client.submit_many(jobs, batch_id=name)
    second = producer_client.submit_many(jobs, batch_id=name)
    assert [(refusal.index, refusal.error.field) for refusal in first.refused] == [(2, "prompt"), (7, "id")]
    assert [job.id for job in first.jobs] == [job.id for job in second.jobs]
    finished = second.wait(timeout=30)
    assert (finished["total"], finished["succeeded"], finished["id"]) == (6, 6, name)
    assert client.xlen(keys.batch_events(name)) == 1
    assert producer_client.batch(name).wait() == finished
    wait_until(lambda: client.xlen(keys.inbox) == 0, "the repeated entries are taken over")
    assert producer_client.batch(name).wait() == finished


def test_an_event_that_cannot_be_read_ends_one_wait_only(lonely_client: Client, client: redis.Redis) -> None:
    """Where the outcome in a stream is damaged, its own wait ends with an error, and that of another job goes on."""
    damaged, sound = (lonely_client.image(modelID="nanobanana", prompt="Dawn") for _ in range(2))
    data = json.dumps({"id": sound.id, "state": "succeeded"})
    following = sound.events(timeout=20)
    for job, text in ((damaged, "no JSON"), (sound, data)):
        client.xadd(f"{LONELY}:job:{{{job.id}}}:events", {"type": "job.succeeded", "sequence": "4", "data": text})
    with pytest.raises(PhotoGPTError, match=damaged.id):
        damaged.wait(timeout=20)
    assert [event.type for event in following] == ["job.succeeded"]


def test_an_append_without_an_answer_names_its_job() -> None:
    """Where Redis does not answer, the error is retryable and has the id with which the job can be sent again."""
    with (
        Client(f"redis://127.0.0.1:{free_port()}/0", send_timeout_s=0.2) as lonely,
        pytest.raises(RedisUnavailable) as unavailable,
    ):
        lonely.image(modelID="nanobanana", prompt="Dawn", id="order-17")
    assert (unavailable.value.job_ids, unavailable.value.retryable) == (("order-17",), True)


def test_a_batch_whose_append_was_lost_can_be_repeated(own_valkey: EmbeddedValkey) -> None:
    """Redis dies while a batch is sent that was given no id: the error has the one with which the call is repeated."""
    jobs = [image(modelID="nanobanana", prompt=f"Dawn {number}") for number in range(300)]
    with Client(own_valkey.url, namespace=LONELY, send_timeout_s=0.2) as lonely:
        own_valkey.stop()
        with pytest.raises(RedisUnavailable) as unavailable:
            lonely.submit_many(jobs)
        own_valkey.start()
        assert f"batch_id={unavailable.value.batch_id!r}" in str(unavailable.value)
        batch = lonely.submit_many(jobs, batch_id=unavailable.value.batch_id)
        assert tuple(job.id for job in batch.jobs) == unavailable.value.job_ids


def test_large_jobs_are_sent_in_small_portions() -> None:
    """A pipeline has up to 250 entries and about a megabyte, so that a slow network takes it in time."""
    small, large = "x" * 1000, "x" * 900_000
    sizes = [[len(job) for job in chunk] for chunk in chunks([small] * 300 + [large, large, small])]
    assert sizes == [[1000] * 250, [1000] * 50 + [900_000], [900_000, 1000]]
    assert list(chunks([])) == []


def test_a_thousand_jobs_are_sent_in_few_round_trips(lonely_client: Client, client: redis.Redis) -> None:
    """A batch of 1,000 jobs takes four pipelines, and every entry is in the inbox."""
    before = int(client.info("stats")["total_reads_processed"])
    batch = lonely_client.submit_many(image(modelID="nanobanana", prompt="Dawn") for _ in range(1000))
    assert client.xlen(f"{LONELY}:inbox") == len({job.id for job in batch.jobs}) == 1000
    assert int(client.info("stats")["total_reads_processed"]) - before < 200
