"""Hand-made messages that cannot be used and name a job: the job ends as `invalid_request`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request
from tests.running import Receiver, WorkerProcess, keys
from tests.waiting import wait_until

TASK = "photogpt.generate_image"
KWARGS = {"request": image_request()}
SOUND = json.dumps([[], KWARGS, {}])


@pytest.fixture(autouse=True)
def clean_log(worker: WorkerProcess) -> Iterator[None]:
    """A worker that goes on, and logs one line of a message, without a traceback or its content."""
    began = len(worker.text())
    yield
    log = worker.text()[began:]
    assert log.count("message.rejected") == 1, log
    assert "Traceback" not in log
    assert "quiet harbour" not in log
    assert worker.child.exit_code is None


def publish(producer: Celery, body: Any, *, headers: Any = None, content_type: str = "application/json") -> Any:
    """Send a message as it is, and return the result of its job."""
    named = {"task": TASK, "id": "hand-made", "lang": "py", "kwargsrepr": "a quiet harbour"}
    options = {"headers": named if headers is None else named | headers, "content_type": content_type}
    publish_raw(producer, body, **options)
    return producer.AsyncResult("hand-made")


def publish_raw(producer: Celery, body: Any, **options: Any) -> None:
    """Send a message to the queue of new jobs."""
    with producer.connection_for_write() as connection, connection.channel() as channel:
        messages = producer.amqp.Producer(channel)
        messages.publish(body, routing_key="celery", content_encoding="utf-8", **options)


def assert_refused(result: Any, client: redis.Redis, message: str) -> None:
    """Check that a job ended as `invalid_request` in its result, its record and its event, with one message."""
    with pytest.raises(Exception, match="invalid_request") as raised:
        result.get(timeout=30)
    assert message in str(raised.value)
    record: Any = client.hgetall(keys.job(result.id))
    assert (record["state"], record["reason"]) == ("failed", "invalid_request")
    assert message in record["error"]
    events: Any = client.xrange(keys.events(result.id))
    ((_, event),) = events
    assert message in json.loads(event["data"])["error"]


DEEP = "[[], {}, {}, " + "[" * 100_000 + "]" * 100_000 + "]"
UNUSABLE: dict[str, tuple[Any, dict[str, Any], str]] = {
    "args is null": (json.dumps([None, KWARGS, {}]), {}, "args: must be a list"),
    "args is an object": (json.dumps([{}, KWARGS, {}]), {}, "args: must be a list"),
    "args is text": (json.dumps(["a", KWARGS, {}]), {}, "args: must be a list"),
    "kwargs is null": (json.dumps([[], None, {}]), {}, "kwargs: must be an object"),
    "kwargs is a list": (json.dumps([[], [KWARGS], {}]), {}, "kwargs: must be an object"),
    "two parts": (json.dumps([[], KWARGS]), {}, "[args, kwargs, embed]"),
    "text": (json.dumps("a quiet harbour"), {}, "[args, kwargs, embed]"),
    "null": (json.dumps(None), {}, "[args, kwargs, embed]"),
    "not JSON": ("a quiet harbour", {}, "Expecting value"),
    "not UTF-8": (b"[[], {}, {\xff}]", {}, "can't decode byte 0xff"),
    "a number of 5000 digits": (f'[[], {{"request": {"9" * 5000}}}, {{}}]', {}, "4300"),
    "nested too deeply": (DEEP, {}, "recursion"),
    "pickle": (b"\x80\x04]", {"content_type": "application/x-python-serialize"}, "pickle"),
    "compressed by a name": (SOUND, {"headers": {"compression": "zlib"}}, "the message cannot be decoded"),
    "an expiry that is no time": (SOUND, {"headers": {"expires": "tomorrow"}}, "expires"),
    "an eta that is no time": (SOUND, {"headers": {"eta": "soon"}}, "ETA"),
}


@pytest.mark.parametrize(("body", "options", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_job_that_the_message_names_is_refused(
    producer: Celery, client: redis.Redis, body: Any, options: dict[str, Any], message: str
) -> None:
    """A message that cannot be used ends its job as `invalid_request`, with the reason in result, record and event."""
    assert_refused(publish(producer, body, **options), client, message)


def test_its_webhook_is_sent(producer: Celery, client: redis.Redis, receiver: Receiver) -> None:
    """The outcome goes to the message's webhook URL with its metadata, and the message is acknowledged."""
    kwargs = KWARGS | {"webhook_url": receiver.url, "metadata": {"order": 7}}
    assert_refused(publish(producer, json.dumps([None, kwargs, {}])), client, "args: must be a list")

    (sent,) = wait_until(lambda: receiver.requests, "the webhook arrives")
    assert (sent.json["type"], sent.json["data"]["metadata"]) == ("job.failed", {"order": 7})
    wait_until(lambda: not client.hlen("photogpt.unacked"), "the message is acknowledged")


@pytest.mark.usefixtures("redis_broker")
def test_its_errback_runs(producer: Celery, client: redis.Redis) -> None:
    """The errback of a message without usable keyword arguments is sent."""
    errback = dict(producer.signature("shop.failed", args=["order-7"], queue="shop", immutable=True))
    embed = {"errbacks": [errback]}
    assert_refused(publish(producer, json.dumps([[], None, embed])), client, "kwargs: must be an object")

    wait_until(lambda: client.llen("shop"), "the errback is sent")


@pytest.mark.parametrize(("name", "arguments"), [("args", {"args": None}), ("kwargs", {"kwargs": None})])
def test_task_protocol_1(producer: Celery, client: redis.Redis, name: str, arguments: dict[str, Any]) -> None:
    """A message of Celery's task protocol 1 is refused in the same way."""
    body = {"task": TASK, "id": "hand-made", "args": [], "kwargs": {}, **arguments}
    publish_raw(producer, json.dumps(body), content_type="application/json")
    assert_refused(producer.AsyncResult("hand-made"), client, f"{name}: must be")


def test_a_cancel_is_refused_too(producer: Celery) -> None:
    """The caller of a cancel whose message cannot be decoded gets the reason as its result."""
    with pytest.raises(Exception, match="Expecting value"):
        publish(producer, "a quiet harbour", headers={"task": "photogpt.cancel"}).get(timeout=30)


def test_a_running_job_is_not_touched(producer: Celery, client: redis.Redis) -> None:
    """A message that cannot be used, under the id of a job that runs, changes nothing about the job."""
    producer.send_task(TASK, kwargs=KWARGS, task_id="hand-made")
    wait_until(lambda: client.exists(keys.job("hand-made")), "the job is accepted")
    assert publish(producer, json.dumps([None, KWARGS, {}])).get(timeout=30)["state"] == "succeeded"
