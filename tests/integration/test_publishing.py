"""What a job publishes: record, event streams, webhooks, Celery events."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import redis
from celery import Celery
from standardwebhooks import Webhook

from tests.conftest import image_request
from tests.running import WEBHOOK_SECRET, ReceivedRequest, Receiver
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker", "sandbox")


def run(producer: Celery, **kwargs: Any) -> Any:
    """Run one image job and return its outcome."""
    return producer.send_task("photogpt.generate_image", kwargs={"request": image_request(), **kwargs}).get(timeout=20)


def deliveries(client: redis.Redis, job_id: str) -> Any:
    """Return the ids of a job's deliveries."""
    return client.smembers(f"photogpt:job:{{{job_id}}}:deliveries")


def test_record(producer: Celery, client: redis.Redis) -> None:
    """The record holds the outcome under the same names and has a time to live."""
    outcome = run(producer, metadata={"a": [1, 2]})

    record: Any = client.hgetall(f"photogpt:job:{{{outcome['id']}}}")

    assert {name: record[name] for name in ("id", "kind", "state", "generation_id", "created_at", "finished_at")} == {
        name: outcome[name] for name in ("id", "kind", "state", "generation_id", "created_at", "finished_at")
    }
    assert json.loads(record["images"]) == outcome["images"]
    assert json.loads(record["metadata"]) == outcome["metadata"]
    assert 0 < int(client.ttl(f"photogpt:job:{{{outcome['id']}}}")) <= 7 * 86_400


def test_a_late_waiter_sees_the_end(producer: Celery, client: redis.Redis) -> None:
    """A reader of the job's stream that starts at 0-0 sees every event, the last one included."""
    outcome = run(producer)

    read: Any = client.xread({f"photogpt:job:{{{outcome['id']}}}:events": "0-0"})
    [[_, entries]] = read

    events = [fields for _, fields in entries]
    assert [event["type"] for event in events] == ["job.queued", "job.submitted", "job.running", "job.succeeded"]
    assert [int(event["sequence"]) for event in events] == [1, 2, 3, 4]
    assert json.loads(events[-1]["data"]) == outcome


def test_service_wide_stream(producer: Celery, client: redis.Redis) -> None:
    """The service-wide stream holds the events of every job, for consumer groups."""
    client.xgroup_create("photogpt:events", "billing", id="0", mkstream=True)
    outcomes = [run(producer) for _ in range(2)]

    read: Any = client.xreadgroup("billing", "me", {"photogpt:events": ">"}, count=100)
    [[_, entries]] = read

    ended = [fields["job"] for _, fields in entries if fields["type"] == "job.succeeded"]
    assert ended == [outcome["id"] for outcome in outcomes]


def test_webhook_is_signed_and_says_what_the_result_says(producer: Celery, receiver: Receiver) -> None:
    """The reference library verifies the webhook, and its data is the outcome."""
    outcome = run(producer, webhook_url=receiver.url)

    [received] = wait_until(lambda: receiver.requests, "the webhook has arrived")

    body = Webhook(WEBHOOK_SECRET).verify(received.body, received.headers)
    assert body["type"] == "job.succeeded"
    assert body["data"] == outcome
    assert received.headers["webhook-id"].startswith("msg_")


def test_webhook_events_can_be_chosen(producer: Celery, receiver: Receiver, client: redis.Redis) -> None:
    """A receiver gets the events that the producer chose, and no others."""
    chosen = ["job.queued", "job.submitted", "job.succeeded"]
    outcome = run(producer, webhook_url=receiver.url, webhook_events=chosen)

    wait_until(lambda: len(receiver.requests) >= 3, "three webhooks have arrived")

    assert sorted(received.json["type"] for received in receiver.requests) == sorted(chosen)
    assert len(deliveries(client, outcome["id"])) == 3


def test_training_events_are_named_after_models(producer: Celery, receiver: Receiver, sandbox: SandboxProcess) -> None:
    """Webhooks of a training have the type `model.<state>`."""
    sandbox.control.model("model_a", status="new", duration_s=0.5)
    kwargs = {"request": {"modelID": "model_a"}, "webhook_url": receiver.url}
    producer.send_task("photogpt.train_model", kwargs=kwargs).get(timeout=20)

    [received] = wait_until(lambda: receiver.requests, "the webhook has arrived")

    assert received.json["type"] == "model.succeeded"


def test_webhook_is_tried_again_with_the_same_id(producer: Celery, receiver: Receiver, client: redis.Redis) -> None:
    """A receiver that fails gets the same bytes again under the same webhook id."""
    answers = iter([500, 204])

    def answer(_: ReceivedRequest) -> int:
        return next(answers)

    receiver.answers = answer
    outcome = run(producer, webhook_url=receiver.url)

    wait_until(lambda: len(receiver.requests) == 2, "the second attempt has arrived", within=30)

    first, second = receiver.requests
    [delivery] = deliveries(client, outcome["id"])
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    wait_until(lambda: client.hget(f"photogpt:delivery:{{{delivery}}}", "state") == "delivered", "it is delivered")
    attempt = json.loads(client.hget(f"photogpt:delivery:{{{delivery}}}", "attempt:1") or "")
    assert attempt["fault"] == "http_5xx"


def test_refused_job_sends_its_webhook(producer: Celery, receiver: Receiver) -> None:
    """A job that is refused before it starts sends its webhook like any other."""
    result = producer.send_task("photogpt.generate_image", kwargs={"request": {}, "webhook_url": receiver.url})
    with pytest.raises(Exception, match="invalid_request"):
        result.get(timeout=20)

    [received] = wait_until(lambda: receiver.requests, "the webhook has arrived")

    assert received.json["type"] == "job.failed"
    assert received.json["data"]["reason"] == "invalid_request"


def test_private_address_is_refused(producer: Celery, client: redis.Redis) -> None:
    """A webhook to a private address is given up without a connection."""
    outcome = run(producer, webhook_url="http://10.0.0.1/hook")
    [delivery] = deliveries(client, outcome["id"])

    wait_until(lambda: client.hget(f"photogpt:delivery:{{{delivery}}}", "state") == "dead", "the delivery is given up")

    attempt = json.loads(client.hget(f"photogpt:delivery:{{{delivery}}}", "attempt:1") or "")
    assert attempt["fault"] == "address_refused"


def test_celery_events_without_a_message(producer: Celery) -> None:
    """Flower gets Celery's task events of a job whose result was stored without a message."""
    seen: dict[str, dict[str, Any]] = {}
    handlers = {name: lambda event: seen.setdefault(event["uuid"], event) for name in ("task-succeeded", "task-failed")}
    with producer.connection_for_read() as connection:
        listener = producer.events.Receiver(connection, handlers=handlers)
        next(listener.itercapture(limit=1, timeout=20))  # it receives events
        thread = threading.Thread(target=lambda: listener.capture(limit=None, timeout=20), daemon=True)
        thread.start()
        good, bad = (
            producer.send_task("photogpt.generate_image", kwargs={"request": image_request(end=end)}).id
            for end in ("success", "failed")
        )
        try:
            wait_until(lambda: {good, bad} <= seen.keys(), "both ends have arrived", within=15)
        finally:
            listener.should_stop = True
            thread.join()

    assert (seen[good]["type"], seen[bad]["type"]) == ("task-succeeded", "task-failed")
    assert good in seen[good]["result"]
    assert seen[good]["runtime"] > 0
    assert "generation_failed: " in seen[bad]["exception"]
