"""What a stopping worker has claimed and not started."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.conftest import paid_generations
from tests.integration.shutdown.test_signals import end, enqueue
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


def test_claimed_and_not_started(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, isolated_env: dict[str, str], tmp_path: Path
) -> None:
    """After SIGTERM every claimed job that was not triggered is due at once; none waits for the end of its lease."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"latency": 0.7}}])
    leaving = WorkerProcess(isolated_env | {"PHOTOGPT_CALL_CONCURRENCY": "1"}, tmp_path / "leaving.log").ready()
    enqueue(producer, 12)
    wait_until(
        lambda: paid_generations(sandbox) >= 1 and client.zcard("photogpt:lane:{triggers}") > 5, "some are claimed"
    )

    code = end(leaving, signal.SIGTERM)

    assert code == 0
    left: Any = client.zrange("photogpt:lane:{triggers}", 0, -1, withscores=True)
    assert left
    assert [name for name, due in left if due > time.time()] == []
