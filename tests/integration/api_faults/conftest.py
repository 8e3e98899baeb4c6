"""Fixtures for tests of a faulty API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TimeoutError as NotYet

from tests.running import WorkerProcess, celery_app, keys
from worker.sandbox.remote import SandboxProcess

Faults = Callable[..., None]
Enqueue = Callable[..., Any]
Record = Callable[[str], dict[str, Any]]


@pytest.fixture
def faults(sandbox: SandboxProcess) -> Faults:
    """Add a fault to an operation of the sandbox, once unless `count` says otherwise (None: always)."""

    def add(match: str, action: dict[str, Any], *, count: int | None = 1, **rule: Any) -> None:
        limit = {} if count is None else {"count": count}
        sandbox.control.faults([{"match": match, "action": action, **limit, **rule}])

    return add


@pytest.fixture
def outcome_of(client: redis.Redis) -> Record:
    """Read the record of a job."""

    def read(job_id: str) -> dict[str, Any]:
        found: Any = client.hgetall(keys.job(job_id))
        return dict(found)

    return read


@dataclass(frozen=True)
class IsolatedWorker:
    """A worker with its own database and broker, and a producer that sends to it."""

    worker: WorkerProcess
    producer: Celery


@pytest.fixture
def with_policy(
    sandbox: SandboxProcess, isolated_env: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[str], IsolatedWorker]]:
    """Start a worker with another `PHOTOGPT_UNCERTAIN_POLICY`."""
    del sandbox
    broker, backend = isolated_env["PHOTOGPT_BROKER_URL"], isolated_env["PHOTOGPT_REDIS_URL"]
    with ExitStack() as stack:

        def start(policy: str) -> IsolatedWorker:
            env = isolated_env | {"PHOTOGPT_UNCERTAIN_POLICY": policy}
            worker = WorkerProcess(env, tmp_path / "worker.log").ready()
            stack.callback(worker.stop)
            return IsolatedWorker(worker, stack.enter_context(celery_app(broker, backend)))

        yield start


def ended(result: Any, *, within: float = 40) -> str:
    """Wait until the producer's task has ended; return `succeeded`, or the reason and message of the failure."""
    try:
        return str(result.get(timeout=within)["state"])
    except NotYet:
        raise
    except Exception as error:  # noqa: BLE001 - the result's own exception, rebuilt by Celery from its name
        return str(error)
