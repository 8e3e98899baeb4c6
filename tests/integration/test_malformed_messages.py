"""Messages that no producer should send: each is refused with one log line, and others are not affected."""

from __future__ import annotations

import base64
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request
from tests.running import Receiver, WorkerProcess, keys
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("redis_broker")


class Harm:
    """Creates a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        """Take the directory's path."""
        self._path = path

    def __reduce__(self) -> Any:
        """Return what pickle calls."""
        return os.mkdir, (str(self._path),)


def test_messages_that_cannot_be_used(producer: Celery, worker: WorkerProcess, tmp_path: Path) -> None:
    """An unknown task and a pickled message are discarded; the log does not quote them."""
    began = len(worker.text())
    request = image_request() | {"prompt": "a prompt not to be quoted"}
    producer.conf.task_serializer = "pickle"  # else its own kombu does not send it
    kwargs = {"request": request, "metadata": {"harm": Harm(tmp_path / "harm")}}
    producer.send_task("photogpt.generate_image", kwargs=kwargs, serializer="pickle")
    misspelt = producer.send_task("photogpt.generate_imgae", kwargs={"request": request}, serializer="json")
    sound = producer.send_task("photogpt.generate_image", kwargs={"request": request}, serializer="json")

    assert sound.get(timeout=30)["state"] == "succeeded"
    with pytest.raises(Exception, match=r"photogpt\.generate_imgae"):
        misspelt.get(timeout=30)
    log = worker.text()[began:]
    assert log.count("message.rejected") == 2, log
    assert "its content type is not accepted" in log
    assert "not to be quoted" not in log
    assert "Traceback" not in log
    assert not (tmp_path / "harm").exists()


def test_an_overwritten_record(producer: Celery, worker: WorkerProcess, client: redis.Redis) -> None:
    """A message whose job's key holds something else fails once, instead of coming back for ever."""
    began = len(worker.text())
    client.set("photogpt:job:{overwritten}", "no hash")

    result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}, task_id="overwritten")

    with pytest.raises(Exception, match="WRONGTYPE"):
        result.get(timeout=30)
    # Celery logs the traceback after the result; the next test must not find the end of it
    wait_until(lambda: "WRONGTYPE" in worker.text()[began:].rpartition("Traceback")[2], "the traceback is logged")
    assert "redis.unavailable" not in worker.text()[began:]


def test_canceling_an_unknown_job(producer: Celery, worker: WorkerProcess) -> None:
    """Canceling an unknown job raises in the caller, and logs no traceback."""
    began = len(worker.text())
    for job_id in ("no job", None, {"a": 1}):
        with pytest.raises(Exception, match="there is no job"):
            producer.send_task("photogpt.cancel", args=[job_id]).get(timeout=30)
    assert "Traceback" not in worker.text()[began:]


def envelope(**changes: Any) -> dict[str, Any]:
    """Return a message of an image job as kombu writes it, whose request lacks a prompt."""
    task_id = str(uuid.uuid4())
    body = [[], {"request": {}}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    made = {
        "body": encoded(body),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "photogpt.generate_image", "id": task_id, "root_id": task_id},
        "properties": {
            "correlation_id": task_id,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "body_encoding": "base64",
            "priority": 0,
        },
    }
    return made | changes


def encoded(body: Any) -> str:
    """Return a body as kombu writes it."""
    return base64.b64encode(json.dumps(body).encode()).decode()


def with_headers(**headers: Any) -> dict[str, Any]:
    """Return an envelope with other headers."""
    made = envelope()
    return made | {"headers": made["headers"] | headers}


def waiting(client: Any) -> list[str]:
    """Return the messages of producers that are queued or unacked; ticks with a countdown are unacked until then."""
    unacked = [entry for entry in client.hvals("photogpt.unacked") if json.loads(entry)[2] == "celery"]
    return [*client.lrange("celery", 0, -1), *unacked]


ENVELOPES: dict[str, Any] = {
    "not JSON": "garbage{",
    "a list": [1, 2],
    "a number": 5,
    "null": None,
    "no properties": {"body": "", "headers": {}},
    "no body": envelope(body=None),
    "a body of two elements": envelope(body=encoded([[], {}])),
    "a body that is an object": envelope(body=encoded({"a": 1})),
    "a body that is not base64": envelope(body="%%%"),
    "no content type": {name: value for name, value in envelope().items() if name != "content-type"},
    "headers that are a list": envelope(headers=[1]),
    "no id": with_headers(id=None),
    "an id that is a number": with_headers(id=5),
    "a garbled eta": with_headers(eta="soon"),
    "a garbled expiry": with_headers(expires=[1]),
    "a garbled time limit": with_headers(timelimit="x"),
    "stamps that are a number": with_headers(stamped_headers=5),
    "no task": with_headers(task=None),
    "canvas of numbers": envelope(body=encoded([[], {"request": {}}, {"chain": [5], "errbacks": 3, "chord": 1}])),
    "null arguments": envelope(body=encoded([None, None, None])),
}
"""Messages that neither kombu nor Celery can use."""


@pytest.mark.parametrize("message", ENVELOPES.values(), ids=ENVELOPES)
def test_no_message_ends_a_worker(worker: WorkerProcess, client: redis.Redis, message: Any) -> None:
    """A malformed message is discarded once and listed, its worker accepts the next message, and none comes again."""
    began = len(worker.text())
    client.lpush("celery", message if isinstance(message, str) else json.dumps(message))
    good = envelope()
    client.lpush("celery", json.dumps(good))
    record = keys.job(good["headers"]["id"])
    wait_until(lambda: client.hget(record, "reason") == "invalid_request", "the next message is handled")
    wait_until(lambda: client.llen(keys.rejected) == 1, "the message is listed")
    wait_until(lambda: not waiting(client), "every message is acknowledged")
    assert worker.child.exit_code is None
    log = worker.text()[began:]
    assert log.count("message.rejected") == 1, log
    assert "Traceback" not in log
    headers = message.get("headers") if isinstance(message, dict) else None
    name = headers.get("id") if isinstance(headers, dict) else None
    listed = json.loads(client.lrange(keys.rejected, 0, 0)[0])
    assert listed["id"] == (None if name is None else str(name))
    if isinstance(name, str) and headers and headers.get("task"):
        record = keys.job(name)
        wait_until(lambda: client.hget(record, "reason") == "invalid_request", "the job that it names has ended")


def test_messages_without_headers_of_kombu(worker: WorkerProcess, client: redis.Redis) -> None:
    """A message without `delivery_info`, as a hand-made producer sends it, starts a job like any other."""
    del worker
    made = envelope()
    del made["properties"]["delivery_info"]
    client.lpush("celery", json.dumps(made))
    record = keys.job(made["headers"]["id"])
    wait_until(lambda: client.hget(record, "reason") == "invalid_request", "the job is refused for its request")


def test_an_envelope_that_kombu_cannot_read(
    producer: Celery, worker: WorkerProcess, client: redis.Redis, receiver: Receiver
) -> None:
    """A job named by an envelope without a delivery tag ends as `invalid_request`: result, event and webhook say so."""
    del worker
    kwargs = {"request": image_request(), "webhook_url": receiver.url, "metadata": {"order": 7}}
    made = envelope(body=encoded([[], kwargs, {}]))
    del made["properties"]["delivery_tag"]
    client.lpush("celery", json.dumps(made))
    with pytest.raises(Exception, match="invalid_request: the envelope needs `body`"):
        producer.AsyncResult(made["headers"]["id"]).get(timeout=30)
    wait_until(lambda: receiver.requests, "the webhook is delivered")
    webhook = receiver.requests[0].json
    assert (webhook["type"], webhook["data"]["metadata"]) == ("job.failed", {"order": 7})


def test_what_is_listed_quotes_nothing(worker: WorkerProcess, client: redis.Redis) -> None:
    """The list names the kind of fault, and no text of the message."""
    del worker
    client.lpush("celery", json.dumps(with_headers(id=None, eta="a quiet harbour")))
    client.lpush("celery", json.dumps(with_headers(expires="a quiet harbour")))
    wait_until(lambda: client.llen(keys.rejected) == 2, "both are listed")
    assert "harbour" not in str(client.lrange(keys.rejected, 0, -1))
