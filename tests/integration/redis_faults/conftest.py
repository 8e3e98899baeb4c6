"""A Redis server for these tests only, and a worker process on it that has to survive its faults."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import image_request, paid_generations
from tests.integration.redis_faults.servers import Server
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


@dataclass
class Line:
    """A producer, a worker process, and the server between them."""

    server: Server
    worker: WorkerProcess
    producer: Celery
    client: redis.Redis
    sandbox: SandboxProcess
    pid: int
    began: int = 0

    def enqueue(self, count: int, **sandbox: Any) -> list[str]:
        """Enqueue images as any producer does; return their ids."""
        kwargs = {"request": image_request(**sandbox)}
        return [self.producer.send_task("photogpt.generate_image", kwargs=kwargs).id for _ in range(count)]

    def wait_until_scheduled(self, count: int) -> None:
        """Wait until that many jobs are scheduled to be polled."""
        wait_until(lambda: self.client.zcard("photogpt:lane:{jobs}") == count, f"{count} jobs are scheduled")

    def assert_succeeded(self, ids: list[str], *, within: float = 60) -> None:
        """Wait until every job has succeeded and its result is stored, in the same worker process, each paid once."""
        for job_id in ids:
            record = f"photogpt:job:{{{job_id}}}"
            wait_until(
                lambda record=record: self.client.hget(record, "published_at"),  # type: ignore[misc]
                f"{record} has ended; the worker's log is {self.worker.log}",
                within=within,
            )
            assert self.client.hget(record, "state") == "succeeded", self.client.hgetall(record)
        assert self.worker.child.exit_code is None
        assert self.worker.child.pid == self.pid
        assert paid_generations(self.sandbox) == len(ids)

    def log(self) -> str:
        """Return what the worker logged in this test."""
        return self.worker.text()[self.began :]


def lasts(seconds: float) -> None:
    """Let an outage last for some seconds."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, "it lasts", within=seconds + 5)


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Leave the server without memory."""
    client.config_set("maxmemory", "1mb")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")


@contextmanager
def read_only(client: redis.Redis) -> Iterator[None]:
    """Make the server a replica, which refuses writes."""
    client.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        client.replicaof("no", "one")


@contextmanager
def without_replicas(client: redis.Redis) -> Iterator[None]:
    """Make the server require a replica, which it does not have."""
    client.config_set("min-replicas-to-write", "1")
    try:
        yield
    finally:
        client.config_set("min-replicas-to-write", "0")


def connect_once(url: str) -> redis.Redis:
    """Return a client that sends each command once and waits six seconds at most."""
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=6, retry=Retry(NoBackoff(), 0))


@pytest.fixture(scope="module")
def open_line(
    worker_env: dict[str, str], sandbox_process: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Line]]:
    """Return a function that makes lines; they stop after the tests of a module."""
    opened: list[Line] = []

    def make(
        server: Server,
        *,
        url: str | None = None,
        producers: str | None = None,
        producer: Celery | None = None,
        client: redis.Redis | None = None,
        **more: str,
    ) -> Line:
        url = url or server.url
        variables = worker_env | {"PHOTOGPT_REDIS_URL": url} | {f"PHOTOGPT_{name}": text for name, text in more.items()}
        log: Path = tmp_path_factory.mktemp("line") / "worker.log"
        running = WorkerProcess(variables, log).ready()
        # without a result backend: Celery's AsyncResult does not survive an outage
        producer = producer or Celery(broker=producers or url, set_as_current=False)
        client = client or connect_once(producers or url)
        opened.append(Line(server, running, producer, client, sandbox_process, running.child.pid))
        return opened[-1]

    yield make
    for line in opened:
        line.worker.child.stop()
        line.producer.close()
        line.client.close()


@pytest.fixture(scope="module")
def shared(open_line: Callable[..., Line], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One server and one worker for all tests that leave both running."""
    server = Server(tmp_path_factory.mktemp("shared"))
    yield open_line(server)
    server.stop()


@pytest.fixture
def line(shared: Line, sandbox: SandboxProcess) -> Line:
    """The shared line, with an empty sandbox and an empty log."""
    shared.began = len(shared.worker.text())
    return shared
