"""A database for these tests only, so that no other worker takes over what they interrupt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.running import WorkerProcess, celery_app
from worker.sandbox.remote import SandboxProcess


@pytest.fixture
def client(isolated_client: redis.Redis) -> redis.Redis:
    """A client of that database."""
    return isolated_client


@pytest.fixture
def producer(isolated_env: dict[str, str]) -> Iterator[Celery]:
    """A producer's Celery app on that database."""
    with celery_app(isolated_env["PHOTOGPT_BROKER_URL"], isolated_env["PHOTOGPT_REDIS_URL"]) as app:
        yield app


@pytest.fixture
def own_worker(
    client: redis.Redis, sandbox: SandboxProcess, isolated_env: dict[str, str], tmp_path: Path
) -> Iterator[WorkerProcess]:
    """The only worker on that database."""
    del client, sandbox
    running = WorkerProcess(isolated_env, tmp_path / "worker.log").ready()
    yield running
    running.child.stop()
