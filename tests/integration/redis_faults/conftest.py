"""A Redis of one's own that may be mistreated, and a worker process on it that has to bear it."""

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
    """A line that works: a producer, a worker process, and the server between them."""

    server: Server
    worker: WorkerProcess
    producer: Celery
    client: redis.Redis
    sandbox: SandboxProcess
    pid: int
    began: int = 0

    def enqueue(self, count: int, **sandbox: Any) -> list[str]:
        """Enqueue some images as anybody would; return their ids."""
        kwargs = {"request": image_request(**sandbox)}
        return [self.producer.send_task("photogpt.generate_image", kwargs=kwargs).id for _ in range(count)]

    def parked(self, count: int) -> None:
        """Wait until that many jobs wait for PhotoGPT."""
        wait_until(lambda: self.client.zcard("photogpt:lane:{jobs}") == count, f"{count} jobs are parked")

    def fine(self, ids: list[str], *, within: float = 60) -> None:
        """Wait until every job has succeeded and its result is stored; the worker is the same, and nothing was lost."""
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
    """Wait until an outage has lasted as long as it has to."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, "it lasts", within=seconds + 5)


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """No memory for a while."""
    client.config_set("maxmemory", "1mb")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")


@contextmanager
def read_only(client: redis.Redis) -> Iterator[None]:
    """A replica of nobody for a while."""
    client.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        client.replicaof("no", "one")


@contextmanager
def without_replicas(client: redis.Redis) -> Iterator[None]:
    """A primary that may only write with a replica beside it, and has none for a while."""
    client.config_set("min-replicas-to-write", "1")
    try:
        yield
    finally:
        client.config_set("min-replicas-to-write", "0")


def patient(url: str) -> redis.Redis:
    """Return a client that asks once and does not wait long."""
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=6, retry=Retry(NoBackoff(), 0))


@pytest.fixture(scope="module")
def open_line(
    worker_env: dict[str, str], sandbox_process: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Line]]:
    """Make lines; they end with the tests of a module."""
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
        told = worker_env | {"PHOTOGPT_REDIS_URL": url} | {f"PHOTOGPT_{name}": text for name, text in more.items()}
        log: Path = tmp_path_factory.mktemp("line") / "worker.log"
        running = WorkerProcess(told, log).ready()
        # it asks nobody for results: Celery's AsyncResult bears no outage
        producer = producer or Celery(broker=producers or url, set_as_current=False)
        client = client or patient(producers or url)
        opened.append(Line(server, running, producer, client, sandbox_process, running.child.pid))
        return opened[-1]

    yield make
    for line in opened:
        line.worker.child.stop()
        line.producer.close()
        line.client.close()


@pytest.fixture(scope="module")
def shared(open_line: Callable[..., Line], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One server and one worker for every test that leaves both alive."""
    server = Server(tmp_path_factory.mktemp("mistreated"))
    yield open_line(server)
    server.stop()


@pytest.fixture
def line(shared: Line, sandbox: SandboxProcess) -> Line:
    """The same, with an empty sandbox, and with the log from here on."""
    shared.began = len(shared.worker.text())
    return shared
