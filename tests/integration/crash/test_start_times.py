"""Jobs that start later, where every worker is killed before they do."""

from __future__ import annotations

import redis
from celery import Celery

from tests.conftest import paid_generations
from tests.integration.test_malformed_messages import waiting
from tests.integration.test_start_time import TRIGGERS, enqueue
from tests.running import WorkerProcess, keys
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


def test_start_times_survive_every_worker(
    producer: Celery, sandbox: SandboxProcess, client: redis.Redis, own_worker: WorkerProcess
) -> None:
    """No worker holds a job that starts later: Redis has one entry each, and the next worker starts what is due."""
    later = [enqueue(producer, countdown=30 * 86_400) for _ in range(200)]
    near = [enqueue(producer, countdown=3) for _ in range(3)]
    wait_until(lambda: client.zcard(TRIGGERS) == len(later) + len(near), "every job is in the lane")
    wait_until(lambda: not waiting(client), "no worker holds the message of a job")
    own_worker.kill()

    own_worker.start()

    assert [result.get(timeout=60)["state"] for result in near] == ["succeeded"] * len(near)
    assert client.zcard(TRIGGERS) == len(later)
    assert client.ttl(keys.job(later[0].id)) > 30 * 86_400
    assert client.ttl(keys.events(later[0].id)) > 30 * 86_400
    assert paid_generations(sandbox) == len(near)
