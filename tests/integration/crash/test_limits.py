"""A worker whose system gives it few threads or open files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.running import keys
from tests.waiting import wait_until
from worker.cli.local.processes import Child
from worker.domain.lane import Lane
from worker.sandbox.remote import SandboxProcess

GB = 2**30

LIMITED = """
import json, os, resource, sys
for name, value in json.loads(sys.argv[1]).items():
    resource.setrlimit(getattr(resource, name), (value, value))
os.execv(sys.executable, [sys.executable, "-m", "worker.cli.main", "worker"])
"""
"""Runs a worker under limits."""


def threads(number: int) -> dict[str, int]:
    """Return limits under which about so many threads can start: each one's stack takes a part of the memory."""
    return {"RLIMIT_STACK": GB, "RLIMIT_AS": number * GB}


class Limited:
    """A worker process under limits."""

    def __init__(self, env: dict[str, str], log: Path, limits: dict[str, int]) -> None:
        """Start the process."""
        self.log = log
        self.child = Child("worker", [sys.executable, "-c", LIMITED, json.dumps(limits)], env=env, log=log)

    def text(self) -> str:
        """Return the log so far."""
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def limited(request: pytest.FixtureRequest, worker_env: dict[str, str], tmp_path: Path) -> Iterator[Limited]:
    """A worker process under the limits of the test's parameter."""
    running = Limited(worker_env, tmp_path / "worker.log", request.param)
    yield running
    running.child.stop()
    sys.stdout.write(running.text())  # pytest shows it if the test fails


@pytest.mark.parametrize(
    ("limited", "event"),
    [(threads(30), "threads.exhausted"), ({"RLIMIT_NOFILE": 40}, "resources.limited")],
    ids=["threads", "open files"],
    indirect=["limited"],
)
def test_a_worker_goes_on_with_what_it_has(
    client: redis.Redis, producer: Celery, sandbox: SandboxProcess, limited: Limited, event: str
) -> None:
    """Under a limit of threads or open files, jobs succeed, and one line names the limit."""
    results = [producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}) for _ in range(24)]
    assert [result.get(timeout=60)["state"] for result in results] == ["succeeded"] * len(results)
    assert paid_generations(sandbox) == len(results)
    lanes = [keys.lane(Lane.TRIGGERS), keys.lane(Lane.JOBS)]
    wait_until(lambda: not any(client.zcard(lane) for lane in lanes), "no job is left")
    log = limited.text()
    assert log.count(event) == 1, log
    assert "Traceback" not in log


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("limited", "named"),
    [(threads(12), "limit of threads"), ({"RLIMIT_NOFILE": 24}, "may open 24 files")],
    ids=["threads", "open files"],
    indirect=["limited"],
)
def test_a_worker_that_cannot_work_ends(limited: Limited, named: str) -> None:
    """Below what it needs, a worker ends with one clear line and a non-zero status."""
    wait_until(lambda: limited.child.exit_code is not None, "the worker has ended")
    log: Any = limited.text()
    assert limited.child.exit_code == 1, log
    assert named in log
    assert len(log.strip().splitlines()) == 1, log
