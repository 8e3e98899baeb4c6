"""Jobs that start later: the start time is in Redis, and no worker holds a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TaskRevokedError

from tests.conftest import image_request, paid_generations
from tests.running import Receiver, keys
from tests.waiting import wait_until
from worker.domain.lane import Lane
from worker.domain.times import epoch
from worker.sandbox.remote import SandboxProcess

TASK = "photogpt.generate_image"
TRIGGERS = keys.lane(Lane.TRIGGERS)


def enqueue(producer: Celery, *, kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
    """Send an image task."""
    return producer.send_task(TASK, kwargs={"request": image_request(), **(kwargs or {})}, **options)


def wait_for_record(client: redis.Redis, job_id: str) -> dict[str, str]:
    """Return the record of a job once it is accepted."""
    wait_until(lambda: client.exists(keys.job(job_id)), "the job is accepted")
    record: Any = client.hgetall(keys.job(job_id))
    return dict(record)


def soon(seconds: float) -> datetime:
    """Return a time a few seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.usefixtures("worker")
def test_every_form_of_a_start_time(producer: Celery, sandbox: SandboxProcess, client: redis.Redis) -> None:
    """A job starts at its eta, countdown, `not_before` or `delay_s`, and its message is acknowledged long before."""
    start = soon(2)
    results = [
        enqueue(producer, countdown=2),
        enqueue(producer, eta=start),
        enqueue(producer, eta=start.astimezone(UTC).replace(tzinfo=None)),
        enqueue(producer, kwargs={"not_before": start.isoformat()}),
        enqueue(producer, kwargs={"not_before": start.timestamp()}),
        enqueue(producer, kwargs={"delay_s": 2}),
    ]
    records = [wait_for_record(client, result.id) for result in results]
    assert {(record["state"], record["reason"]) for record in records} == {("queued", "scheduled")}
    wait_until(lambda: client.hlen("photogpt.unacked") <= 1, "the messages are acknowledged; a tick may wait")
    assert paid_generations(sandbox) == 0

    for result, record in zip(results, records, strict=True):
        outcome = result.get(timeout=30)
        assert outcome["state"] == "succeeded"
        late_s = epoch(outcome["submitted_at"]) - epoch(record["not_before"])
        assert late_s >= 0
        assert epoch(record["deadline_at"]) - epoch(record["not_before"]) == pytest.approx(3600, abs=0.01)
    assert paid_generations(sandbox) == len(results)


@pytest.mark.usefixtures("worker")
def test_canceling_before_the_start(
    producer: Celery, sandbox: SandboxProcess, client: redis.Redis, receiver: Receiver
) -> None:
    """`photogpt.cancel` and revoke end a job before its start: record, event and webhook, and nothing is paid."""
    kwargs = {"webhook_url": receiver.url}
    canceled, revoked = (enqueue(producer, kwargs=kwargs, countdown=3600) for _ in range(2))
    for result in (canceled, revoked):
        wait_for_record(client, result.id)

    outcome = producer.send_task("photogpt.cancel", kwargs={"job_id": canceled.id}).get(timeout=30)
    revoked.revoke()

    assert outcome["error"].endswith("nothing is charged")
    with pytest.raises(Exception, match="canceled: job"):
        canceled.get(timeout=30)
    wait_until(lambda: len(receiver.requests) == 2, "both webhooks are delivered")
    assert {request.json["type"] for request in receiver.requests} == {"job.canceled"}
    assert client.zcard(TRIGGERS) == 0
    assert paid_generations(sandbox) == 0


def ended_with(client: redis.Redis, receiver: Receiver, job_id: str) -> tuple[Any, Any, Any]:
    """Return the state in the record, in the last event and in the webhook of a job that has ended."""
    wait_until(lambda: any(job_id in str(request.body) for request in receiver.requests), "the webhook is delivered")
    [webhook] = [request.json for request in receiver.requests if request.json["data"]["id"] == job_id]
    events: Any = client.xrevrange(keys.events(job_id), count=1)
    [(_, event)] = events
    return client.hget(keys.job(job_id), "state"), event["type"], webhook["type"]


@pytest.mark.usefixtures("worker")
def test_messages_that_expired(
    producer: Celery, sandbox: SandboxProcess, client: redis.Redis, receiver: Receiver, broker_url: str
) -> None:
    """A message whose `expires` passed ends its job visibly, before a worker accepts it or before it starts."""
    if not broker_url.startswith("redis"):
        pytest.skip("RabbitMQ drops expired messages")
    kwargs = {"webhook_url": receiver.url}
    results = [
        enqueue(producer, kwargs=kwargs, expires=0.001),
        enqueue(producer, kwargs=kwargs, expires=datetime.now(UTC) - timedelta(seconds=1)),
        enqueue(producer, kwargs=kwargs, expires=soon(-60).replace(tzinfo=None)),
        enqueue(producer, kwargs=kwargs, countdown=3600, expires=1.5),
    ]
    for result in results:
        with pytest.raises(Exception, match=r"expired|deadline_exceeded: the `expires`") as caught:
            result.get(timeout=30)
        assert isinstance(caught.value, TaskRevokedError) == (result is not results[-1])
        assert ended_with(client, receiver, result.id) == ("expired", "job.expired", "job.expired")
    assert paid_generations(sandbox) == 0
    assert enqueue(producer, countdown=0.5, expires=60).get(timeout=30)["state"] == "succeeded"


@pytest.mark.usefixtures("worker")
def test_a_message_that_was_revoked_before_it_came(
    producer: Celery, sandbox: SandboxProcess, client: redis.Redis, receiver: Receiver
) -> None:
    """A message whose id was revoked before a worker took it ends its job as canceled, in record, event and webhook."""
    producer.control.revoke("revoked-before", reply=True)
    result = enqueue(producer, kwargs={"webhook_url": receiver.url}, task_id="revoked-before")
    with pytest.raises(TaskRevokedError):
        result.get(timeout=30)
    assert ended_with(client, receiver, result.id) == ("canceled", "job.canceled", "job.canceled")
    assert paid_generations(sandbox) == 0


@pytest.mark.usefixtures("worker")
def test_a_second_message_that_expired(producer: Celery, sandbox: SandboxProcess, client: redis.Redis) -> None:
    """A second message with the same id and a past `expires` does not touch the job that was accepted."""
    result = enqueue(producer, kwargs={"request": image_request(duration_s=3)})
    wait_until(lambda: result.state in {"SUBMITTED", "RUNNING"}, "the job is submitted")
    for protocol in (1, 2):
        producer.conf.task_protocol = protocol
        enqueue(producer, task_id=result.id, expires=soon(-60))
    assert result.get(timeout=30)["state"] == "succeeded"
    assert client.hget(keys.job(result.id), "state") == "succeeded"
    assert paid_generations(sandbox) == 1


@pytest.mark.usefixtures("worker")
def test_later_jobs_join_the_fair_queue(producer: Celery, sandbox: SandboxProcess, client: redis.Redis) -> None:
    """When PhotoGPT runs two jobs at a time, jobs with a start time wait for a place like any other, once due."""
    sandbox.control.options(max_active=2)
    results = [enqueue(producer, kwargs={"tenant": str(number % 2)}, countdown=1) for number in range(8)]
    results.append(enqueue(producer, kwargs={"tenant": "c"}))
    assert [result.get(timeout=60)["state"] for result in results] == ["succeeded"] * len(results)
    assert paid_generations(sandbox) == len(results)
    assert not any(client.exists(key) for key in (keys.queue, keys.active, TRIGGERS))
