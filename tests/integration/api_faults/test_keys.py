"""The API key is revoked while jobs run and wait."""

from __future__ import annotations

import redis
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import ended
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

KEY = "sandbox-key"


def test_revoked_and_back(
    producer: Celery, sandbox: SandboxProcess, client: redis.Redis, worker: WorkerProcess
) -> None:
    """With a revoked key no job fails and lanes pause; with a valid key every job succeeds."""
    before = len(worker.text())
    running = [
        producer.send_task("photogpt.generate_image", kwargs={"request": image_request(duration_s=1)}) for _ in "123"
    ]
    wait_until(lambda: paid_generations(sandbox) == 3, "three jobs run")

    sandbox.control.keys(revoke=[KEY])
    waiting = [producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}) for _ in "12"]
    wait_until(lambda: "Polls wait until it is accepted" in worker.text()[before:], "the log warns that polling waits")
    wait_until(
        lambda: "Triggers wait until it is accepted" in worker.text()[before:], "the log warns that triggering waits"
    )
    wait_until(lambda: client.hget("photogpt:lane:{triggers}:loop", "paused_until"), "the trigger lane is paused")
    warnings = worker.text()[before:].count("api_key.rejected")
    assert not [result.id for result in running + waiting if result.ready()]
    sandbox.control.keys(add=[KEY])

    assert [ended(result) for result in running + waiting] == ["succeeded"] * 5
    assert paid_generations(sandbox) == 5
    assert 2 <= warnings < 40
