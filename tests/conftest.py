"""Fixtures: a real Valkey, the sandbox, and real worker processes. Slow ones live as long as the session.

`TEST_BROKER_URL=rabbitmq pytest tests/integration/test_lifecycle.py` sends the messages through a private RabbitMQ
node, an `amqp://…` URL through a node that runs already.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from celery import Celery
from kombu import pools

from config.settings import Settings, load_settings
from tests.integration.redis_faults.rabbitmq import RabbitMQ
from tests.reporting import (  # noqa: F401 - hooks of pytest
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
from tests.running import WEBHOOK_SECRET, Database, Receiver, WorkerProcess, celery_app
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxProcess

hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")  # a slow example on a busy machine is no failure

for name in [name for name in os.environ if name.startswith("PHOTOGPT_")]:
    del os.environ[name]  # a developer's own settings must not change a test


@pytest.fixture(scope="module", autouse=True)
def kombu_pools() -> Iterator[None]:
    """Close kombu's pools after each module: one limit holds for the process and cannot shrink while one is used."""
    yield
    pools.reset()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey server for the session."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """A client of an empty Valkey."""
    with redis.Redis.from_url(valkey.url, decode_responses=True) as opened:
        opened.flushall()
        yield opened


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[SandboxProcess]:
    """The sandbox in its own process, for the session."""
    with SandboxProcess("--duration", "upscale=0.5", "--duration", "image=0.5") as running:
        yield running


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The sandbox without any generation or fault."""
    sandbox_process.control.reset()
    sandbox_process.control.clear()
    return sandbox_process


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ | None]:
    """A RabbitMQ node if `TEST_BROKER_URL=rabbitmq`, otherwise None."""
    if os.environ.get("TEST_BROKER_URL") != "rabbitmq":
        yield None
        return
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield node
    node.close()


@pytest.fixture(scope="session")
def broker_url(valkey: EmbeddedValkey, rabbitmq: RabbitMQ | None) -> str:
    """The broker: the same Valkey as the store, unless `TEST_BROKER_URL` names another."""
    return rabbitmq.url if rabbitmq else os.environ.get("TEST_BROKER_URL", valkey.url)


@pytest.fixture
def redis_broker(broker_url: str) -> None:
    """Skip a test that reads or writes the broker's lists in Redis, if the messages go through RabbitMQ."""
    if not broker_url.startswith("redis"):
        pytest.skip("it reads or writes lists of a broker on Redis")


@pytest.fixture
def isolated_env(worker_env: dict[str, str], valkey: EmbeddedValkey, rabbitmq: RabbitMQ | None) -> dict[str, str]:
    """The environment of a worker that shares neither database nor broker with the session's worker."""
    url = Database.ISOLATED.url(valkey.url)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return worker_env | {
        "PHOTOGPT_REDIS_URL": url,
        "PHOTOGPT_BROKER_URL": rabbitmq.new_vhost() if rabbitmq else url,
    }


def make_worker_env(valkey: EmbeddedValkey, sandbox: SandboxProcess) -> dict[str, str]:
    """Return the environment of a worker in a test: short intervals, the sandbox, loopback receivers."""
    return {
        "PHOTOGPT_REDIS_URL": valkey.url,
        "PHOTOGPT_BASE_URL": sandbox.base_url,
        "PHOTOGPT_API_KEY": "sandbox-key",
        "PHOTOGPT_API_CALL_DEADLINE_S": "5",
        "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_MODEL_POLL_INTERVAL_S": "0.5",
        "PHOTOGPT_SCHEDULE": "fixed",  # durations learned from one test's jobs must not change another's polls
        "PHOTOGPT_UNCERTAIN_SETTLE_S": "1",
        "PHOTOGPT_CLOCK_SKEW_S": "5",
        "PHOTOGPT_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    }


@pytest.fixture(scope="session")
def worker_env(valkey: EmbeddedValkey, broker_url: str, sandbox_process: SandboxProcess) -> dict[str, str]:
    """The environment of a worker in a test."""
    broker = {"PHOTOGPT_BROKER_URL": broker_url} if broker_url != valkey.url else {}
    return broker | make_worker_env(valkey, sandbox_process)


@pytest.fixture
def settings(worker_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of such a worker."""
    for name, value in worker_env.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
def isolated_settings(isolated_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a worker that shares no database with the session's worker, which would take its jobs."""
    for name, value in isolated_env.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
def isolated_client(isolated_env: dict[str, str]) -> Iterator[redis.Redis]:
    """A client of the isolated database, which is empty."""
    with redis.Redis.from_url(isolated_env["PHOTOGPT_REDIS_URL"], decode_responses=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def session_worker(worker_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker process that every test shares which leaves it running."""
    running = WorkerProcess(worker_env, tmp_path_factory.mktemp("worker") / "worker.log").ready()
    yield running
    running.child.stop()


@pytest.fixture
def worker(client: redis.Redis, sandbox: SandboxProcess, session_worker: WorkerProcess) -> WorkerProcess:
    """A worker process on an empty Valkey and an empty sandbox."""
    del client, sandbox
    return session_worker


@pytest.fixture
def own_worker(client: redis.Redis, worker_env: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker process that a test may kill."""
    del client
    running = WorkerProcess(worker_env, tmp_path / "worker.log").ready()
    yield running
    running.child.stop()


@pytest.fixture
def producer(valkey: EmbeddedValkey, broker_url: str) -> Iterator[Celery]:
    """A Celery app as another service has it, without any of our code."""
    with celery_app(broker_url, valkey.url) as app:
        yield app


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver that accepts everything."""
    with closing(Receiver()) as running:
        yield running


def image_request(**sandbox: Any) -> dict[str, Any]:
    """Return an image request; the arguments are the sandbox's own (`duration_s`, `end`, …)."""
    return {"modelID": "nanobanana", "prompt": "a quiet harbour", "sandbox": {"duration_s": 0.5, **sandbox}}


def paid_generations(sandbox: SandboxProcess) -> int:
    """Return how many generations the sandbox has created; each would have cost credits."""
    created = sandbox.control.state(lists=False)["created"]
    return sum(count for kind, count in created.items() if kind != "training")
