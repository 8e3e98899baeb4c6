"""Other apps on the worker's broker: `ping` and the log name what they do wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from tests.conftest import image_request, make_worker_env
from tests.running import Database, WorkerProcess
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxProcess

PRODUCERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "celery\x06\x165": ({"priority_steps": list(range(10))}, "celery", "set PHOTOGPT_PRIORITY_STEPS"),
    "celery:6": ({"sep": ":"}, "celery", "set PHOTOGPT_QUEUE_SEPARATOR"),
    "shop:celery": ({"global_keyprefix": "shop:", "priority_steps": [0]}, "celery", "the global_keyprefix 'shop:'"),
    "images": ({"priority_steps": [0]}, "images", "set PHOTOGPT_QUEUE to it"),
}
"""By the list that it writes: a producer's options, its default queue, and the advice."""


@pytest.fixture(scope="module")
def shared(valkey: EmbeddedValkey, sandbox_process: SandboxProcess) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
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
    # Celery's start_worker leaves CELERY_LOG_FILE and CELERY_LOG_LEVEL in the environment, where the settings of the
    # next test's worker would find them.
    with mock.patch.dict(os.environ), Celery("shop", broker=url, set_as_current=False) as shop:
        yield env, {"app": shop, "pool": "solo", "perform_ping_check": False, "shutdown_timeout": 30}


def assert_named(text: str) -> None:
    """Check that every list is named once with its advice, and the consumer, and nothing else."""
    for name, (_, _, advice) in PRODUCERS.items():
        (line,) = [line for line in text.splitlines() if f"the list {name!r}" in line]
        assert advice in line
    assert text.count("no worker reads the list") == len(PRODUCERS)
    assert text.count("of another Celery app consumes our queue") == 1


def test_other_apps_are_named(shared: tuple[dict[str, str], dict[str, Any]], tmp_path: Any) -> None:
    """A worker at its start, and `ping`, name the lists that no worker reads and the consumers of another app."""
    env, shop = shared
    command = [sys.executable, "-m", "worker.cli.main", "ping"]
    with start_worker(**shop):
        running = WorkerProcess(env, tmp_path / "worker.log").ready()
        try:
            wait_until(lambda: "queue.foreign_consumer" in running.text(), "the worker names the consumer")
            result = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        finally:
            running.stop()
    assert_named(running.text())
    assert_named(result.stdout)
    assert result.returncode == 0
