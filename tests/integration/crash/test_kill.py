"""Recovery after a loss: of tick messages, of all messages, of a worker, of Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from config.settings import Settings
from tests.conftest import image_request, paid_generations
from tests.running import WorkerProcess, celery_app, keys
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Submitted
from worker.domain.job import Job, Kind
from worker.domain.lane import Lane
from worker.sandbox.remote import SandboxProcess
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import open_store


def enqueue(producer: Celery, count: int, **sandbox: Any) -> list[Any]:
    """Enqueue some images."""
    kwargs = {"request": image_request(**sandbox)}
    return [producer.send_task("photogpt.generate_image", kwargs=kwargs) for _ in range(count)]


def test_a_lost_poll_message_costs_seconds(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """A lost tick message is sent again within seconds by a worker."""
    [result] = enqueue(producer, 1, duration_s=2)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}"), "the job waits for its poll")

    client.hdel("photogpt:lane:{jobs}:loop", "soon_token", "later_token")  # no message carries the next token
    client.delete("photogpt.polls")

    assert result.get(timeout=20)["state"] == "succeeded"


def test_the_broker_forgets_everything(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """Jobs are stored in Redis: they end even when every message of the broker is deleted."""
    results = enqueue(producer, 5, duration_s=1.5)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 5, "the jobs wait for their polls")

    for key in client.scan_iter():
        if not str(key).startswith(("photogpt:", "_kombu")):
            client.delete(key)

    for result in results:
        assert result.get(timeout=30)["state"] == "succeeded"
    assert paid_generations(sandbox) == 5


def test_killed_worker(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """After kill -9 with jobs in flight another worker finishes them, and nothing is triggered twice."""
    results = enqueue(producer, 10, duration_s=2)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 10, "the jobs wait for their polls")

    own_worker.child.kill()
    own_worker.start()

    for result in results:
        assert result.get(timeout=40)["state"] == "succeeded"
    assert paid_generations(sandbox) == 10


def test_killed_while_photogpt_was_asked(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """A worker killed between POST and answer leaves an open intent; the generation is found and adopted."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"latency": 2}, "count": 1}])
    [result] = enqueue(producer, 1)
    wait_until(lambda: client.zcard("photogpt:intents"), "the intent is recorded")
    wait_until(lambda: sandbox.control.state()["requests"].get("triggerImageGenerationJob"), "the POST has arrived")

    own_worker.child.kill()
    own_worker.start()

    assert result.get(timeout=90)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey server that a test may kill."""
    server = EmbeddedValkey(tmp_path / "fragile")
    yield server
    server.stop()


@pytest.fixture
def fragile_worker(fragile: EmbeddedValkey, worker_env: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker on that server."""
    running = WorkerProcess(worker_env | {"PHOTOGPT_REDIS_URL": fragile.url}, tmp_path / "worker.log").ready()
    yield running
    running.stop()


def test_redis_dies_and_comes_back(
    fragile: EmbeddedValkey, fragile_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """Redis is killed with jobs in flight; the worker process survives, finishes them and reads the inbox."""
    pid = fragile_worker.child.pid
    with celery_app(fragile.url, fragile.url) as producer:
        jobs = [result.id for result in enqueue(producer, 5, duration_s=4)]
    with redis.Redis.from_url(fragile.url) as client:
        wait_until(lambda: client.zcard("photogpt:lane:{jobs}") == 5, "the jobs wait for their polls")
        assert client.waitaof(1, 0, 10_000)[0] == 1, "the append-only file has not reached the disk"

    fragile.child.kill()
    wait_until(
        lambda: "does not answer" in fragile_worker.text() or "broke" in fragile_worker.text(),
        "the worker has logged the outage",
    )
    fragile.start()

    with redis.Redis.from_url(fragile.url, decode_responses=True) as client:
        for job_id in jobs:
            key = f"photogpt:job:{{{job_id}}}"
            wait_until(lambda key=key: client.hget(key, "published_at"), "the job has ended", within=60)  # type: ignore[misc]
            assert client.hget(key, "state") == "succeeded"
        job = {"id": "after", "kind": "image", "request": image_request()}
        client.xadd(keys.inbox, {"job": json.dumps(job)})
        wait_until(lambda: client.hget(keys.job("after"), "state") == "succeeded", "the worker reads the inbox again")
    assert fragile_worker.child.exit_code is None
    assert fragile_worker.child.pid == pid
    assert paid_generations(sandbox) == 6


def test_ten_thousand_jobs_hold_no_memory_in_a_worker(
    client: redis.Redis, settings: Settings, own_worker: WorkerProcess
) -> None:
    """Ten thousand jobs in flight add less than 20 MB to a worker, before and after a kill."""
    idle = _resident(own_worker)
    store = open_store(settings, leave_to_lane_monitor)
    at = store.clock()
    job = Job(id="waiting-0", kind=Kind.IMAGE, request=image_request(), created_at=at, deadline_at=at + 3600)
    store.jobs.accept(job, digest="", continuation="{}")
    client.zrem(keys.lane(Lane.TRIGGERS), job.id)
    store.jobs.mark_submitted(job, Submitted("job_0"), poll_after=900)
    copy(client, job.id, 10_000)

    loaded = _resident(own_worker)
    own_worker.kill()
    own_worker.start()
    own_worker.ready()

    assert store.lanes.sizes()[Lane.JOBS] == 10_000
    assert loaded - idle < 20_000_000
    assert _resident(own_worker) - idle < 20_000_000
    store.close()


def copy(client: redis.Redis, job_id: str, count: int) -> None:
    """Copy a submitted job until there are `count` of them. Three scripts for each would take a minute under load."""
    record: Any = client.hgetall(keys.job(job_id))
    due = float(str(client.zscore(keys.lane(Lane.JOBS), job_id)))
    pipeline = client.pipeline(transaction=False)
    for number in range(1, count):
        name = f"waiting-{number}"
        pipeline.hset(keys.job(name), mapping=record | {"id": name, "generation_id": f"job_{number}"})
        pipeline.zadd(keys.lane(Lane.JOBS), {name: due})
    pipeline.execute()


def _resident(running: WorkerProcess) -> int:
    """Return the resident memory of a worker in bytes (Linux)."""
    pages = int(Path(f"/proc/{running.child.pid}/statm").read_text().split()[1])
    return pages * 4096


def test_an_unreadable_record(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """A record that cannot be read ends as `internal_error` after a few tries, and delays no other job."""
    [bad] = enqueue(producer, 1, duration_s=60)
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}"), "the job waits for its poll")

    client.hset(f"photogpt:job:{{{bad.id}}}", "deadline_at", "never")
    [good] = enqueue(producer, 1)

    assert good.get(timeout=20)["state"] == "succeeded"
    with pytest.raises(Exception, match=r"internal_error: a step of job .* raised ValueError"):
        bad.get(timeout=60)
