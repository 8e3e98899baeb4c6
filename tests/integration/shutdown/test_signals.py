"""A worker that is told to end: what it has begun it finishes, what it holds it gives back, nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.running import Receiver, WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess
from worker.store import keys


@pytest.fixture
def relief(isolated_env: dict[str, str], own_worker: WorkerProcess, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A second worker process beside the one that ends."""
    running = WorkerProcess(isolated_env, tmp_path / "relief.log").ready()
    yield running
    running.child.stop()


def enqueue(producer: Celery, count: int, **kwargs: Any) -> list[Any]:
    """Enqueue some images."""
    return [
        producer.send_task("photogpt.generate_image", kwargs={"request": image_request(), **kwargs})
        for _ in range(count)
    ]


def asked(sandbox: SandboxProcess, operation: str, times: int) -> bool:
    """Whether PhotoGPT was asked so often."""
    count: int = sandbox.control.state(lists=False)["requests"].get(operation, 0)
    return count >= times


def end(running: WorkerProcess, *signals: int) -> int:
    """Send signals, the next one once the one before was noticed; return the exit code."""
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
def test_a_trigger_under_way_is_finished(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, signum: int
) -> None:
    """PhotoGPT's answer is waited for and written down before the process ends, with exit code 0: no doubt is left."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"latency": 2}}])
    [result] = enqueue(producer, 1)
    wait_until(lambda: asked(sandbox, "triggerImageGenerationJob", 1), "PhotoGPT is being asked")

    code = end(own_worker, signum)

    assert code == 0
    [generation] = sandbox.control.generations()
    assert client.hget(keys.job(result.id), "state") != "queued"
    assert client.hget(keys.job(result.id), "generation_id") == generation["jobId"]
    assert not client.zcard(keys.INTENTS)
    own_worker.start()
    assert result.get(timeout=30)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1


def test_looks_and_webhooks_under_way_are_finished(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, receiver: Receiver
) -> None:
    """Looks that are under way end jobs, whose webhooks another worker delivers."""
    sandbox.control.faults([{"match": "getJobStatus", "action": {"latency": 1.5}}])
    results = enqueue(producer, 5, webhook_url=receiver.url)
    wait_until(lambda: asked(sandbox, "getJobStatus", 5), "PhotoGPT is being looked at")

    code = end(own_worker, signal.SIGTERM)

    assert code == 0
    own_worker.start()
    assert [result.get(timeout=30)["state"] for result in results] == ["succeeded"] * 5
    told = wait_until(
        lambda: len({received.json["data"]["id"] for received in receiver.requests}) == 5, "all webhooks came"
    )
    assert told
    assert len({received.headers["webhook-id"] for received in receiver.requests}) == 5
    assert paid_generations(sandbox) == 5


def test_another_worker_goes_on(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, relief: WorkerProcess
) -> None:
    """A worker that leaves in the middle of its work leaves nothing that another one does not take up."""
    results = enqueue(producer, 20)
    wait_until(lambda: paid_generations(sandbox) >= 3, "some are triggered")

    code = end(own_worker, signal.SIGTERM)

    assert code == 0
    assert relief.child.exit_code is None
    assert [result.get(timeout=40)["state"] for result in results] == ["succeeded"] * 20
    assert paid_generations(sandbox) == 20


def test_messages_for_later_are_given_back(
    producer: Celery, client: redis.Redis, broker_url: str, sandbox: SandboxProcess, own_worker: WorkerProcess
) -> None:
    """Tick messages that a worker holds until they are due go back to the queue when it ends."""
    if not broker_url.startswith("redis"):
        pytest.skip("RabbitMQ itself takes back what a connection held")
    enqueue(producer, 1)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}"), "the job is parked")
    wait_until(lambda: client.hlen("unacked"), "a message waits in the worker")

    code = end(own_worker, signal.SIGTERM)

    assert code == 0
    assert not client.hlen("unacked")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_an_impatient_operator(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, own_worker: WorkerProcess, signum: int
) -> None:
    """A second signal may cut off what is under way; the job is settled by the next worker, and paid once."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "count": 1, "action": {"latency": 3}}])
    [result] = enqueue(producer, 1)
    wait_until(lambda: asked(sandbox, "triggerImageGenerationJob", 1), "PhotoGPT is being asked")

    end(own_worker, signal.SIGTERM, signum)

    own_worker.start()
    assert result.get(timeout=60)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1
