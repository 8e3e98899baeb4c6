"""With messages in RabbitMQ and jobs in Redis, workers survive the loss of either."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery, chain, chord
from kombu import Connection, Queue

from config.settings import load_settings
from tests.conftest import image_request, paid_generations
from tests.integration.redis_faults.conftest import connect_once, lasts, read_only
from tests.integration.redis_faults.rabbitmq import RabbitMQ
from tests.integration.redis_faults.servers import Server
from tests.running import WorkerProcess, celery_app
from tests.waiting import wait_until
from worker.cli.status.report import read_report
from worker.queue.app import create_app
from worker.queue.checks import check_broker
from worker.sandbox.remote import SandboxProcess
from worker.store.lanes import leave_to_lane_monitor
from worker.store.server import ServerFault
from worker.store.store import open_store


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ node for these tests only."""
    running = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis server for these tests only."""
    server = Server(tmp_path_factory.mktemp("store"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running(
    node: RabbitMQ,
    store: Server,
    worker_env: dict[str, str],
    sandbox_process: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    """A worker process on both."""
    variables = worker_env | {"PHOTOGPT_BROKER_URL": node.url, "PHOTOGPT_REDIS_URL": store.url}
    started = WorkerProcess(variables, tmp_path_factory.mktemp("worker") / "worker.log").ready()
    yield started
    started.child.stop()


@pytest.fixture
def client(store: Server) -> Iterator[redis.Redis]:
    """A client of Redis."""
    with connect_once(store.url) as opened:
        yield opened


@pytest.fixture
def producer(node: RabbitMQ, store: Server, running: WorkerProcess, sandbox: SandboxProcess) -> Iterator[Celery]:
    """A producer's Celery app."""
    with celery_app(node.url, store.url) as app:
        yield app


def enqueue(producer: Celery, count: int, **sandbox: Any) -> list[str]:
    """Enqueue images; return their ids."""
    kwargs = {"request": image_request(**sandbox)}
    return [producer.send_task("photogpt.generate_image", kwargs=kwargs).id for _ in range(count)]


def ended(client: redis.Redis, ids: list[str]) -> list[Any]:
    """Wait until the results of all jobs are stored; return their states."""
    records = [f"photogpt:job:{{{job_id}}}" for job_id in ids]
    for record in records:
        wait_until(lambda record=record: client.hget(record, "published_at"), f"{record} has ended", within=60)  # type: ignore[misc]
    return [client.hget(record, "state") for record in records]


def test_four_kinds_and_the_canvas(producer: Celery, sandbox: SandboxProcess) -> None:
    """A chain of training, image and upscale, and a chord of video and image, succeed over RabbitMQ."""
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


def test_a_header_that_amqp_has_no_type_for(producer: Celery, running: WorkerProcess, node: RabbitMQ) -> None:
    """A UUID in a header of the next task, which py-amqp cannot write, arrives there as text."""
    order = UUID(int=7)
    with Connection(node.url) as connection:
        queue = connection.SimpleQueue("shop")
        image = producer.signature("photogpt.generate_image", kwargs={"request": image_request()})
        save = producer.signature("shop.save", queue="shop", headers={"order": order})
        chain(image, save).apply_async()
        assert queue.get(timeout=40).headers["order"] == str(order)
        queue.close()
    assert "Traceback" not in running.text()


@pytest.mark.long
def test_killed_worker(producer: Celery, client: redis.Redis, running: WorkerProcess, sandbox: SandboxProcess) -> None:
    """After a worker is killed, unacknowledged messages come back and no job is paid twice."""
    # Triggers in progress at that moment are unresolved. PhotoGPT's list of jobs shows no prompts, so several
    # unresolved triggers cannot be distinguished: their jobs end as `trigger_uncertain`. All other jobs succeed.
    ids = enqueue(producer, 10, duration_s=2)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 10, "the jobs are scheduled")
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
    """Jobs survive a RabbitMQ node that stops and starts again, in the same worker process."""
    pid = running.child.pid
    ids = enqueue(producer, 10, duration_s=2)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 10, "the jobs are scheduled")

    node.child.stop(within=30)
    node.start()
    ids += enqueue(producer, 5)

    assert ended(client, ids) == ["succeeded"] * 15
    assert running.child.exit_code is None
    assert running.child.pid == pid
    assert paid_generations(sandbox) == 15


def test_redis_refuses_writes_while_messages_come(
    producer: Celery, client: redis.Redis, running: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """Messages that Redis cannot store return to RabbitMQ after a pause, and none is lost."""
    before, refused = len(running.text()), refusals(client)
    with read_only(client):
        ids = enqueue(producer, 30)
        wait_until(lambda: refusals(client) > refused, "Redis refused a message")
        lasts(4)
        requeued = refusals(client) - refused

    assert ended(client, ids) == ["succeeded"] * 30
    assert paid_generations(sandbox) == 30
    assert requeued < 300
    log = running.text()[before:]
    assert "Traceback" not in log
    assert log.count("redis.recovered") <= 2, log  # reads that work do not end the outage


def refusals(client: redis.Redis) -> int:
    """Return how many writes Redis has refused because it is a replica."""
    stats: Any = client.info("errorstats")
    return int(stats.get("errorstat_READONLY", {"count": 0})["count"])


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (("guest:guest@", "guest:wrong@"), "it refuses the login .*; correct the user and the password"),
        (("//guest", "//guest"), "it allows the user no such virtual host .*; correct the URL"),
    ],
    ids=["password", "virtual host"],
)
def test_a_login_that_is_refused(node: RabbitMQ, store: Server, wrong: tuple[str, str], advice: str) -> None:
    """A wrong password or virtual host ends a worker at its start, and `status` says the same, without a traceback."""
    url = node.url.replace(*wrong).removesuffix("/") + "no-such-host"
    settings = load_settings(broker_url=url, redis_url=store.url)
    with create_app(settings) as app, pytest.raises(ServerFault, match=advice):
        check_broker(app, settings)
    with closing(open_store(settings, leave_to_lane_monitor)) as opened:
        problems = read_report(opened, settings)["problems"]
    assert re.search(rf"the broker at amqp://guest:….* cannot be used: {advice}", problems[0])


@pytest.mark.parametrize("arguments", [{"x-max-priority": 10}, {"x-queue-type": "quorum"}], ids="".join)
def test_a_queue_with_other_arguments(node: RabbitMQ, arguments: dict[str, Any]) -> None:
    """A queue that exists with a maximum priority, or as a quorum queue, is refused with the advice what to do."""
    name = "-".join(arguments)
    with Connection(node.url) as connection:
        Queue(name, queue_arguments=arguments)(connection.default_channel).declare()
    settings = load_settings(broker_url=node.url, queue=name)
    with create_app(settings) as app, pytest.raises(ServerFault, match=r"_QUEUE"):
        check_broker(app, settings)
