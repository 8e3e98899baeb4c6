"""A worker that gets a signal finishes what it has started, returns what it holds, and loses nothing."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from redis.client import PubSub

from tests.conftest import image_request, paid_generations
from tests.running import Receiver, WorkerProcess, keys
from tests.waiting import wait_until
from worker.domain.lane import Lane
from worker.sandbox.remote import SandboxProcess


@pytest.fixture
def second_worker(isolated_env: dict[str, str], own_worker: WorkerProcess, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A second worker process beside the one that stops."""
    running = WorkerProcess(isolated_env, tmp_path / "second.log").ready()
    yield running
    running.child.stop()


def enqueue(producer: Celery, count: int, **kwargs: Any) -> list[Any]:
    """Enqueue some images."""
    return [
        producer.send_task("photogpt.generate_image", kwargs={"request": image_request(), **kwargs})
        for _ in range(count)
    ]


def asked(sandbox: SandboxProcess, operation: str, times: int) -> bool:
    """Return whether PhotoGPT got an operation that many times."""
    count: int = sandbox.control.state(lists=False)["requests"].get(operation, 0)
    return count >= times


def end(running: WorkerProcess, *signals: int) -> int:
    """Send signals, each after the worker has noticed the one before; return the exit code."""
    for number, signum in enumerate(signals, start=1):
        running.child.send_signal(signum)
        wait_until(
            lambda number=number: (
                running.text().count("shutdown (MainProcess)") >= number  # type: ignore[misc]
                or running.child.exit_code is not None
            ),
            "the signal was noticed",
        )
    wait_until(lambda: running.child.exit_code is not None, "the worker has ended")
    return running.child.stop()  # collects it


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_trigger_in_progress_is_finished(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, signum: int
) -> None:
    """A stopping worker waits for PhotoGPT's answer to a trigger and stores it, and exits with code 0."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"latency": 2}}])
    [result] = enqueue(producer, 1)
    wait_until(lambda: asked(sandbox, "triggerImageGenerationJob", 1), "PhotoGPT is being asked")

    code = end(own_worker, signum)

    assert code == 0
    [generation] = sandbox.control.generations()
    assert client.hget(keys.job(result.id), "state") != "queued"
    assert client.hget(keys.job(result.id), "generation_id") == generation["jobId"]
    assert not client.zcard(keys.intents)
    own_worker.start()
    assert result.get(timeout=30)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1


def test_polls_in_progress_are_finished(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, receiver: Receiver
) -> None:
    """Polls in progress are finished at SIGTERM, and the next worker delivers the webhooks of jobs that ended."""
    sandbox.control.faults([{"match": "getJobStatus", "action": {"latency": 1.5}}])
    results = enqueue(producer, 5, webhook_url=receiver.url)
    wait_until(lambda: asked(sandbox, "getJobStatus", 5), "PhotoGPT is being polled")

    code = end(own_worker, signal.SIGTERM)

    assert code == 0
    own_worker.start()
    assert [result.get(timeout=30)["state"] for result in results] == ["succeeded"] * 5
    delivered = wait_until(
        lambda: len({received.json["data"]["id"] for received in receiver.requests}) == 5, "all webhooks came"
    )
    assert delivered
    assert len({received.headers["webhook-id"] for received in receiver.requests}) == 5
    assert paid_generations(sandbox) == 5


def test_another_worker_takes_over(
    producer: Celery,
    client: redis.Redis,
    sandbox: SandboxProcess,
    own_worker: WorkerProcess,
    second_worker: WorkerProcess,
) -> None:
    """Another worker takes over every job of a worker that stops in the middle of its work."""
    results = enqueue(producer, 20)
    wait_until(lambda: paid_generations(sandbox) >= 3, "some are triggered")

    code = end(own_worker, signal.SIGTERM)

    assert code == 0
    assert second_worker.child.exit_code is None
    assert [result.get(timeout=40)["state"] for result in results] == ["succeeded"] * 20
    assert paid_generations(sandbox) == 20


def test_messages_with_a_countdown_are_returned(
    producer: Celery,
    client: redis.Redis,
    broker_url: str,
    own_worker: WorkerProcess,
) -> None:
    """Tick messages that a worker holds until they are due return to the queue when it stops."""
    if not broker_url.startswith("redis"):
        pytest.skip("RabbitMQ itself takes back what a connection held")
    producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}, countdown=7)
    wait_until(lambda: client.zcard(keys.lane(Lane.TRIGGERS)), "the job has a start time")
    wait_until(lambda: client.hlen("photogpt.unacked"), "a message waits in the worker")

    code = end(own_worker, signal.SIGTERM)

    assert code == 0
    assert not client.hlen("photogpt.unacked")


def test_task_events_are_sent_together_and_at_the_end(
    producer: Celery, client: redis.Redis, broker_url: str, own_worker: WorkerProcess
) -> None:
    """Task events of a burst need few messages, and a worker that stops sends those that are left."""
    if not broker_url.startswith("redis"):
        pytest.skip("the messages are read from Redis")
    with PubSub(client.connection_pool) as channel:
        channel.psubscribe("*celeryev*task*")
        sent = {result.id for result in enqueue(producer, 50)}
        wait_until(lambda: client.exists(*map(keys.job, sent)) == len(sent), "all are accepted")
        assert end(own_worker, signal.SIGTERM) == 0
        _subscribed, *messages = iter(partial(channel.get_message, timeout=1), None)
    events = [event for each in messages for event in json.loads(base64.b64decode(json.loads(each["data"])["body"]))]
    assert {event["uuid"] for event in events if event["type"] == "task-received"} == sent
    assert len(messages) < len(sent) / 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_a_second_signal(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, signum: int
) -> None:
    """A second signal may abort a trigger; the next worker resolves the job, which is paid once."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "count": 1, "action": {"latency": 3}}])
    [result] = enqueue(producer, 1)
    wait_until(lambda: asked(sandbox, "triggerImageGenerationJob", 1), "PhotoGPT is being asked")

    end(own_worker, signal.SIGTERM, signum)

    own_worker.start()
    assert result.get(timeout=60)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1
