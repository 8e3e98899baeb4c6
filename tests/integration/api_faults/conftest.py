"""Fixtures of a misbehaving API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TimeoutError as NotYet

from tests.running import WorkerProcess
from worker.sandbox.remote import SandboxProcess
from worker.store import keys

Faults = Callable[..., None]
Enqueue = Callable[..., Any]
Record = Callable[[str], dict[str, Any]]


@pytest.fixture
def faults(sandbox: SandboxProcess) -> Faults:
    """Make some operation go wrong, once unless `count` says otherwise (None: for ever)."""

    def add(match: str, action: dict[str, Any], *, count: int | None = 1, **rule: Any) -> None:
        limit = {} if count is None else {"count": count}
        sandbox.control.faults([{"match": match, "action": action, **limit, **rule}])

    return add


@pytest.fixture
def outcome_of(client: redis.Redis) -> Record:
    """Return a job's record."""

    def read(job_id: str) -> dict[str, Any]:
        found: Any = client.hgetall(keys.job(job_id))
        return dict(found)

    return read


@dataclass(frozen=True)
class IsolatedWorker:
    """A worker of another mind on a database of its own, and a producer there."""

    worker: WorkerProcess
    producer: Celery


@pytest.fixture
def with_policy(
    sandbox: SandboxProcess, isolated_env: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[str], IsolatedWorker]]:
    """Start a worker with another policy for triggers whose answer was lost."""
    del sandbox
    broker, ledger = isolated_env["PHOTOGPT_BROKER_URL"], isolated_env["PHOTOGPT_REDIS_URL"]
    started: list[IsolatedWorker] = []

    def start(policy: str) -> IsolatedWorker:
        env = isolated_env | {"PHOTOGPT_UNCERTAIN_POLICY": policy}
        producer = Celery("somebody-else", broker=broker, backend=ledger, set_as_current=False)
        started.append(IsolatedWorker(WorkerProcess(env, tmp_path / "worker.log").ready(), producer))
        return started[-1]

    yield start
    for ended in started:
        ended.worker.child.stop()
        ended.producer.close()


def ended(result: Any, *, within: float = 40) -> str:
    """Wait until the producer's task has ended, and return how: `succeeded`, or the reason in words."""
    try:
        return str(result.get(timeout=within)["state"])
    except NotYet:
        raise
    except Exception as error:  # noqa: BLE001 - the result's own exception, rebuilt by Celery from its name
        return str(error)
