"""Entries of the inbox outlive the workers that read them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from tests.conftest import image_request, paid_generations
from tests.running import WorkerProcess, keys
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess
from worker.store.inbox import GROUP

ROUND = 50  # entries between two kills; a worker reads up to 64 at once
MORE = 8  # rounds, if every kill so far came after the entries were deleted


@pytest.fixture
def pair(client: redis.Redis, worker_env: dict[str, str], tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    """Two workers, which a test may kill."""
    del client
    running = [WorkerProcess(worker_env, tmp_path / f"worker-{number}.log") for number in range(2)]
    yield [each.ready() for each in running]
    for each in running:
        each.stop()


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_kills_lose_no_entry(
    pair: list[WorkerProcess], client: redis.Redis, sandbox: SandboxProcess, kills: int
) -> None:
    """Workers are killed while they take over entries: each job ends and counts once, and none is paid twice."""
    chance, left, kill = random.Random(kills), 0, 0
    while kill < kills or (not left and kill < kills + MORE):
        queued = client.xlen(keys.all_events)
        append(client, f"round-{kill}")
        wait_until(lambda before=queued: client.xlen(keys.all_events) > before, "jobs are stored")  # type: ignore[misc]
        victims = [chance.choice(pair)] if kill % 2 and kill < kills else pair
        for each in victims:
            each.kill()
        left += client.xpending(keys.inbox, GROUP)["pending"] if victims is pair else 0
        for each in victims:
            each.start()
        kill += 1
    assert left, "every kill came after the entries were deleted"

    wait_until(lambda: client.xlen(keys.inbox) == 0, "no entry is left", within=60)
    wait_until(lambda: len(ends(client)) == kill * ROUND, "every job has ended", within=120)
    found = ends(client)
    assert len(set(found)) == len(found)
    assert paid_generations(sandbox) <= kill * ROUND
    for number in range(kill):
        record = cast("dict[str, str]", client.hgetall(keys.batch(f"round-{number}")))
        assert (record["ended"], record["rejected"]) == (str(ROUND + 1), "1")
        assert client.xlen(keys.batch_events(f"round-{number}")) == 1


def append(client: redis.Redis, name: str) -> None:
    """Append a batch of one round in one round trip, with one entry that becomes no job."""
    pipeline = client.pipeline(transaction=False)
    for job_id in [*(f"{name}-{number}" for number in range(ROUND)), ""]:
        job = {"id": job_id, "kind": "image", "request": image_request(duration_s=0.1)}
        pipeline.xadd(keys.inbox, {"job": json.dumps(job | {"batch": {"id": name, "total": ROUND + 1}})})
    pipeline.execute()


def ends(client: redis.Redis) -> list[str]:
    """Return the jobs that have ended, once for each of their events that says so."""
    read: Any = client.xrange(keys.all_events)
    return [fields["job"] for _, fields in read if fields["sequence"] == "4"]
