"""Other apps on the worker's broker: `ping` and the log name what they do wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request, make_worker_env
from tests.running import Database, WorkerProcess
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child
from worker.sandbox.remote import SandboxProcess

PRODUCERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "celery\x06\x165": ({"priority_steps": list(range(10))}, "celery", "set PHOTOGPT_PRIORITY_STEPS"),
    "celery:6": ({"sep": ":"}, "celery", "set PHOTOGPT_QUEUE_SEPARATOR"),
    "shop:celery": ({"global_keyprefix": "shop:", "priority_steps": [0]}, "celery", "the global_keyprefix 'shop:'"),
    "images": ({"priority_steps": [0]}, "images", "set PHOTOGPT_QUEUE to it"),
}
"""By the list that it writes: a producer's options, its default queue, and the advice."""


@pytest.fixture(scope="module")
def shared(
    valkey: EmbeddedValkey, sandbox_process: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A database with the messages of such producers, and a worker of another app: a worker's environment on it."""
    url = Database.NEIGHBORS.url(valkey.url)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    env = make_worker_env(valkey, sandbox_process) | {"PHOTOGPT_REDIS_URL": url}
    for name, (options, queue, _) in PRODUCERS.items():
        with Celery(name, broker=url, set_as_current=False) as app:
            app.conf.broker_transport_options, app.conf.task_default_queue = options, queue
            priority = int(name[-1]) if name[-1].isdigit() else 0
            app.send_task("photogpt.generate_image", kwargs={"request": image_request()}, priority=priority)
            app.send_task("shop.save", queue="shop")
    # A process of its own: Celery's start_worker would leave its app, its logging and CELERY_LOG_FILE to later tests.
    command = [sys.executable, "-m", "celery", f"--broker={url}", "worker", "--pool=solo", "--queues=celery"]
    shop = Child("shop", command, env={}, log=tmp_path_factory.mktemp("shop") / "shop.log")
    with Celery("asking", broker=url, set_as_current=False) as app:
        wait_until(lambda: app.control.ping(timeout=0.5), "the other app's worker listens: ours asks once at its start")
    yield env
    shop.kill()


def assert_named(text: str) -> None:
    """Check that every list is named once with its advice, and the consumer, and nothing else."""
    for name, (_, _, advice) in PRODUCERS.items():
        (line,) = [line for line in text.splitlines() if f"the list {name!r}" in line]
        assert advice in line
    assert text.count("no worker reads the list") == len(PRODUCERS)
    assert text.count("of another Celery app consumes our queue") == 1


def test_other_apps_are_named(shared: dict[str, str], tmp_path: Any) -> None:
    """A worker at its start, and `ping`, name the lists that no worker reads and the consumers of another app."""
    command = [sys.executable, "-m", "worker.cli.main", "ping"]
    running = WorkerProcess(shared, tmp_path / "worker.log").ready()
    try:
        wait_until(lambda: "queue.foreign_consumer" in running.text(), "the worker names the consumer")
        result = subprocess.run(command, env=shared, cwd=tmp_path, capture_output=True, text=True, check=False)
    finally:
        running.stop()
    assert_named(running.text())
    assert_named(result.stdout)
    assert result.returncode == 0
