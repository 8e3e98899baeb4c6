"""RabbitMQ carries the messages, the ledger stays in Redis: the line bears the loss of either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord

from tests.conftest import image_request, paid_generations
from tests.integration.redis_faults.conftest import lasts, patient, read_only
from tests.integration.redis_faults.rabbitmq import RabbitMQ
from tests.integration.redis_faults.servers import Server
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ node of one's own."""
    running = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis of one's own."""
    server = Server(tmp_path_factory.mktemp("ledger"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running(
    node: RabbitMQ,
    ledger: Server,
    worker_env: dict[str, str],
    sandbox_process: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    """A worker process between the two."""
    told = worker_env | {"PHOTOGPT_BROKER_URL": node.url, "PHOTOGPT_REDIS_URL": ledger.url}
    started = WorkerProcess(told, tmp_path_factory.mktemp("worker") / "worker.log").ready()
    yield started
    started.child.stop()


@pytest.fixture
def client(ledger: Server) -> Iterator[redis.Redis]:
    """A client of the ledger."""
    with patient(ledger.url) as opened:
        yield opened


@pytest.fixture
def producer(node: RabbitMQ, ledger: Server, running: WorkerProcess, sandbox: SandboxProcess) -> Iterator[Celery]:
    """Somebody else's service."""
    app = Celery("somebody-else", broker=node.url, backend=ledger.url, set_as_current=False)
    yield app
    app.close()


def enqueue(producer: Celery, count: int, **sandbox: Any) -> list[str]:
    """Enqueue some images; return their ids."""
    kwargs = {"request": image_request(**sandbox)}
    return [producer.send_task("photogpt.generate_image", kwargs=kwargs).id for _ in range(count)]


def ended(client: redis.Redis, ids: list[str]) -> list[Any]:
    """Wait until the results of all of them are stored; return the states."""
    records = [f"photogpt:job:{{{job_id}}}" for job_id in ids]
    for record in records:
        wait_until(lambda record=record: client.hget(record, "published_at"), f"{record} has ended", within=60)  # type: ignore[misc]
    return [client.hget(record, "state") for record in records]


def test_four_kinds_and_the_canvas(producer: Celery, sandbox: SandboxProcess) -> None:
    """A chain of training, image and upscale, with a chord of videos at its side."""
    sandbox.control.model("model_a", status="new", duration_s=0.8)

    def job(name: str, **kwargs: Any) -> Any:
        return producer.signature(f"photogpt.{name}", kwargs=kwargs)

    video = {"modelID": "veo-3.1", "prompt": "a kite", "sandbox": {"duration_s": 0.4}}

    line: Any = chain(
        job("train_model", request={"modelID": "model_a"}),
        job("generate_image", request={"prompt": "me", "sandbox": {"duration_s": 0.3}}),
        job("upscale_image"),
    ).apply_async()
    side: Any = chord(
        [job("generate_video", request=video), job("generate_image", request=image_request())], job("upscale_image")
    )

    assert side.apply_async().get(timeout=60)["kind"] == "upscale"
    assert line.get(timeout=60)["kind"] == "upscale"
    assert paid_generations(sandbox) == 5


@pytest.mark.long
def test_killed_worker(producer: Celery, client: redis.Redis, running: WorkerProcess, sandbox: SandboxProcess) -> None:
    """Killed with messages in hand and jobs in flight: what was not acknowledged comes back.

    What PhotoGPT was being asked for at that moment is in doubt. Its list of jobs shows neither prompts nor whose they
    are, so that of several at once nobody can tell which is whose: those end as `trigger_uncertain`, rather than that
    somebody pays twice. Nothing else does, and no job is paid for twice: each that succeeded once, each other at most.
    """
    ids = enqueue(producer, 10, duration_s=2)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 10, "the jobs are parked")
    ids += enqueue(producer, 20)

    running.child.kill()
    running.start()

    states = ended(client, ids)
    assert states[:10] == ["succeeded"] * 10
    others = [job_id for job_id, state in zip(ids, states, strict=True) if state != "succeeded"]
    assert {client.hget(f"photogpt:job:{{{job_id}}}", "reason") for job_id in others} <= {"trigger_uncertain"}
    assert len(ids) - len(others) <= paid_generations(sandbox) <= len(ids)


@pytest.mark.long
def test_broker_restarts(
    producer: Celery, client: redis.Redis, node: RabbitMQ, running: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """The node is stopped and comes back with what it kept; the worker process is the same."""
    pid = running.child.pid
    ids = enqueue(producer, 10, duration_s=2)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 10, "the jobs are parked")

    node.child.stop(within=30)
    node.start()
    ids += enqueue(producer, 5)

    assert ended(client, ids) == ["succeeded"] * 15
    assert running.child.exit_code is None
    assert running.child.pid == pid
    assert paid_generations(sandbox) == 15


def test_the_ledger_refuses_while_messages_come(
    producer: Celery, client: redis.Redis, running: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """Messages that the ledger cannot take go back, not round in circles, and none is lost."""
    before, refused = len(running.text()), refusals(client)
    with read_only(client):
        ids = enqueue(producer, 30)
        wait_until(lambda: refusals(client) > refused, "the ledger refused a message")
        lasts(4)
        bounced = refusals(client) - refused

    assert ended(client, ids) == ["succeeded"] * 30
    assert paid_generations(sandbox) == 30
    assert bounced < 300
    told = running.text()[before:]
    assert "Traceback" not in told
    assert told.count("over after") <= 2, told  # not over because reading works


def refusals(client: redis.Redis) -> int:
    """Return how many writes the ledger has refused because it is a replica."""
    told: Any = client.info("errorstats")
    return int(told.get("errorstat_READONLY", {"count": 0})["count"])
