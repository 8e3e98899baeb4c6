"""Forms of a call that carry no task id of their own: each is refused, and no job starts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import redis
from celery import Celery
from celery.canvas import chunks, xmap, xstarmap

from tests.conftest import image_request, paid_generations
from tests.running import WorkerProcess, keys
from worker.sandbox.remote import SandboxProcess

TASK = "photogpt.generate_image"
REFUSED = "starts a job only as a message with a task id of its own"


def of_each_part(producer: Celery) -> dict[str, Any]:
    """Send one image request in each form that Celery offers for many calls in one message."""
    task: Any = producer.signature(TASK)
    request = image_request() | {"prompt": "not to be quoted"}
    group: Any = chunks(task, [[{"request": request}]], 1, app=producer).group()
    return {
        "map": xmap(task, [{"request": request}], app=producer).apply_async(),
        "starmap": xstarmap(task, [[{"request": request}]], app=producer).apply_async(),
        "chunks": group.apply_async()[0],
        "chunks in the worker": producer.send_task("celery.chunks", args=[task, [[{"request": request}]], 1]),
    }


def test_map_starmap_and_chunks(
    producer: Celery, worker: WorkerProcess, sandbox: SandboxProcess, client: redis.Redis
) -> None:
    """Celery's map, starmap and chunks over a job task fail with one sentence; no job is stored or paid."""
    began = len(worker.text())
    results = of_each_part(producer)
    [in_worker] = results.pop("chunks in the worker").get(timeout=30)[1]
    results["chunks in the worker"] = producer.AsyncResult(in_worker[0][0])
    for result in results.values():
        with pytest.raises(Exception, match=REFUSED):
            result.get(timeout=30)
    assert list(client.scan_iter(keys.job("*"))) == []
    assert paid_generations(sandbox) == 0
    log = worker.text()[began:]
    assert "Traceback" not in log
    assert "not to be quoted" not in log


CALLS = """
import worker.tasks as tasks
for call in (lambda: tasks.generate_image(request={}), lambda: tasks.generate_image.apply(kwargs={}).get()):
    try:
        print("ran", call())
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_apply_and_a_direct_call(worker_env: dict[str, str], client: redis.Redis) -> None:
    """`apply` and a direct call raise in their caller, and write no record."""
    run = subprocess.run(
        [sys.executable, "-c", CALLS],
        env=os.environ | worker_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [REFUSED in line for line in run.stdout.splitlines()] == [True, True], run.stdout
    assert list(client.scan_iter(keys.job("*"))) == []
