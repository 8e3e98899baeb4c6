"""Jobs that come through the inbox: appended with one XADD, taken over by a worker, read from record and stream."""

from __future__ import annotations

import json
import uuid
from typing import Any, cast

import redis
from celery import Celery

from tests.conftest import image_request
from tests.golden import golden
from tests.running import Receiver, WorkerProcess, keys
from tests.waiting import wait_until
from worker.domain.inbox_entry import appended_at
from worker.domain.times import rfc3339
from worker.store.codec import decode_outcome
from worker.store.inbox import GROUP


def append(client: redis.Redis, **entry: Any) -> str:
    """Append an entry as a producer does, and return the id of its job."""
    job = {"v": 1, "id": str(uuid.uuid4()), "kind": "image", "request": image_request()} | entry
    client.xadd(keys.inbox, {"job": json.dumps(job)})
    return str(job["id"])


def outcome(client: redis.Redis, job_id: str) -> dict[str, Any]:
    """Wait for the end of a job on its stream, as a producer does, and return the outcome."""
    last = "0-0"
    for _ in range(20):
        read: Any = client.xread({keys.events(job_id): last}, block=4000, count=1)
        if read:
            ((_, [(last, fields)]),) = read
            if "data" in fields:
                return cast("dict[str, Any]", json.loads(fields["data"]))
    raise AssertionError(f"job {job_id} has not ended")


def test_a_job_ends_in_every_way_of_the_contract(
    client: redis.Redis, producer: Celery, worker: WorkerProcess, receiver: Receiver
) -> None:
    """A job of the inbox ends in stream, record, webhook and Celery result, and leaves nothing in the inbox."""
    job_id = append(client, metadata={"order": 17}, webhook_url=receiver.url)
    final = outcome(client, job_id)
    assert (final["state"], final["metadata"]) == ("succeeded", {"order": 17})
    assert final.keys() == golden("outcomes/succeeded")["outcome"].keys()
    assert decode_outcome(cast("dict[str, str]", client.hgetall(keys.job(job_id)))) == final
    assert producer.AsyncResult(job_id).get(timeout=10) == final
    wait_until(lambda: receiver.requests, "the webhook has arrived")
    assert receiver.requests[0].json["data"] == final
    wait_until(lambda: client.xlen(keys.inbox) == 0, "the entry is deleted")
    assert client.xpending(keys.inbox, GROUP)["pending"] == 0


def test_times_count_from_the_append(client: redis.Redis, worker: WorkerProcess) -> None:
    """A job is created when its entry was appended, and its delay and its deadline count from then."""
    job_id = str(uuid.uuid4())
    job = {"id": job_id, "kind": "image", "request": image_request(), "delay_s": 900, "deadline_s": 60}
    entry = str(client.xadd(keys.inbox, {"job": json.dumps(job)}))
    record: Any = wait_until(lambda: client.hgetall(keys.job(job_id)), "the job is stored")
    at = appended_at(entry)
    assert [record[name] for name in ("created_at", "not_before", "deadline_at", "reason")] == [
        rfc3339(at),
        rfc3339(at + 900),
        rfc3339(at + 960),
        "scheduled",
    ]


def test_an_id_of_ones_own_is_no_time(client: redis.Redis, worker: WorkerProcess) -> None:
    """An entry whose id the producer chose is accepted now, not in 1970."""
    job_id = str(uuid.uuid4())
    job = {"id": job_id, "kind": "image", "request": image_request()}
    client.xadd(keys.inbox, {"job": json.dumps(job)}, id="7-1")
    assert outcome(client, job_id)["state"] == "succeeded"


def test_refused_entries(client: redis.Redis, producer: Celery, worker: WorkerProcess) -> None:
    """An entry with an id ends as `invalid_request` under it; one without is listed without its content."""
    cases = golden("inbox/refused")
    entries = [str(client.xadd(keys.inbox, {"job": case["job"]})) for case in cases]
    wait_until(lambda: client.xlen(keys.inbox) == 0, "the entries are taken over")

    listed = {
        each["id"]: each["error"] for each in map(json.loads, cast("list[str]", client.lrange(keys.rejected, 0, -1)))
    }
    for case, entry in zip(cases, entries, strict=True):
        if case["id"] is None:
            assert listed[entry].startswith(case["error"])
            continue
        job_id = case["id"].replace("{entry}", entry)
        final = outcome(client, job_id)
        assert (final["state"], final["reason"], final["retryable"]) == ("failed", "invalid_request", False)
        assert final["error"].startswith(case["error"])
        assert producer.AsyncResult(job_id).state == "FAILURE"
    assert client.llen(keys.rejected) == sum(case["id"] is None for case in cases)


def test_the_same_id_twice_is_one_job(client: redis.Redis, worker: WorkerProcess) -> None:
    """An entry that is appended again after a lost answer changes nothing."""
    job_id = append(client)
    append(client, id=job_id)
    assert outcome(client, job_id)["state"] == "succeeded"
    append(client, id=job_id)
    wait_until(lambda: client.xlen(keys.inbox) == 0, "the entries are deleted")
    assert client.xlen(keys.events(job_id)) <= 4


def test_cancel_before_and_after_its_job(client: redis.Redis, worker: WorkerProcess) -> None:
    """An entry cancels a job, also where the entry is read before that of the job."""
    job_id = str(uuid.uuid4())
    client.xadd(keys.inbox, {"job": json.dumps({"v": 1, "kind": "cancel", "job_id": job_id})})
    append(client, id=job_id, request=image_request(duration_s=60))
    assert outcome(client, job_id)["state"] == "canceled"

    later = append(client, request=image_request(duration_s=60))
    wait_until(lambda: client.exists(keys.job(later)), "the job is stored")
    client.xadd(keys.inbox, {"job": json.dumps({"v": 1, "kind": "cancel", "job_id": later})})
    assert outcome(client, later)["state"] == "canceled"


def test_a_batch(client: redis.Redis, worker: WorkerProcess) -> None:
    """A batch counts each item once, however it ends and however often it is sent, and finishes with one event."""
    batch_id, known = str(uuid.uuid4()), append(client)
    batch = {"id": batch_id, "total": 8}
    items: list[dict[str, Any]] = [
        {"id": f"{batch_id}-1"},
        {"id": f"{batch_id}-2", "request": {}},
        {"id": f"{batch_id}-3", "batch": {"id": batch_id}},
        {"id": f"{batch_id}-4", "request": {"prompt": "x" * 1_000_000}},
        {"id": known},
        {"id": 5},
        {"id": ""},
    ]
    for item in items * 2:
        append(client, **({"batch": batch} | item))
        client.xadd(keys.inbox, {"job": json.dumps({"batch": batch})[:-1]})
    read: Any = client.xread({keys.batch_events(batch_id): "0-0"}, block=20_000)
    ((_, event),) = read[0][1]
    assert event["type"] == "batch.finished"
    data = json.loads(event["data"])
    assert data.keys() == json.loads(golden("outcomes/batch")["event"]["data"]).keys()
    counts = [data[name] for name in ("total", "succeeded", "failed", "expired", "canceled", "rejected")]
    assert counts == [8, 2, 3, 0, 0, 3]
    wait_until(lambda: client.xlen(keys.inbox) == 0, "the repeated entries are taken over")
    assert (client.hget(keys.batch(batch_id), "ended"), client.xlen(keys.batch_events(batch_id))) == ("8", 1)


def test_a_lost_group_is_made_again(client: redis.Redis, worker: WorkerProcess) -> None:
    """Workers go on after the group, or the whole stream, was deleted."""
    wait_until(lambda: client.exists(keys.inbox), "the worker reads the inbox")
    client.xgroup_destroy(keys.inbox, GROUP)
    first = append(client)
    assert outcome(client, first)["state"] == "succeeded"
    client.delete(keys.inbox)
    second = append(client)
    assert outcome(client, second)["state"] == "succeeded"
