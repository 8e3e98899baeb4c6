"""One tick's steps, in this process, on a real ledger and a real API."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import redis

from config.settings import Settings
from tests.conftest import image_request
from tests.unit.factories import make_job
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Reschedule
from worker.lanes import runner as ticking
from worker.sandbox.remote import SandboxProcess
from worker.services import Services, TaskPublisher, open_services
from worker.store import keys
from worker.store.codec import FIELDS
from worker.store.keys import Lane
from worker.store.records import JobAccepted

NEVER = float("inf")


def opened(settings: Settings) -> Services:
    """Return the clients of a worker process; messages go nowhere."""
    return open_services(settings, create_autospec(TaskPublisher, instance=True))


def claimed(services: Services, count: int) -> list[list[str | None]]:
    """Accept some jobs, and return their records as a claim hands them out."""
    for number in range(count):
        at = services.store.clock()
        job = make_job(id=f"job-{number}", request=image_request(), created_at=at, deadline_at=at + 600)
        assert isinstance(services.store.jobs.accept(job, digest="d", continuation="{}"), JobAccepted)
    publish_tick: Any = services.publisher.publish_tick
    token = publish_tick.call_args_list[0].args[0].token
    claim = services.store.lanes.claim(Lane.TRIGGERS, token, limit=99, lease=60, prefix=keys.JOB, fields=FIELDS)
    assert claim is not None
    return claim.records


def test_a_yes_without_a_name_is_written_down_at_once(
    client: redis.Redis, sandbox: SandboxProcess, settings: Settings
) -> None:
    """Before the batch that puts the job back: a worker that dies in between must not leave it to a list that omits."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"missing_job_id": True}}])
    services = opened(settings)
    (record,) = claimed(services, 1)
    back = ticking.run_step(services, Lane.TRIGGERS, record, NEVER)
    assert back is not None
    assert isinstance(back[1], Reschedule)
    assert client.hget(keys.job("job-0"), "accepted_intent") == client.hget(keys.job("job-0"), "intent_at") != ""
    found = services.store.jobs.get("job-0")
    services.close()
    assert found is not None
    assert found.accepted_without_id


@pytest.fixture
def mortal(settings: Settings, tmp_path: Path) -> Iterator[tuple[EmbeddedValkey, Services]]:
    """A ledger of one's own that may be stopped, and the clients of a worker there."""
    server = EmbeddedValkey(tmp_path)
    services = opened(Settings(_env_file=None, redis_url=server.url, base_url=settings.base_url, api_key="sandbox-key"))
    for lane in Lane:
        ticking.REDIS_OUTAGES[lane].resolve()
    yield server, services
    services.close()
    server.stop()


def told(caplog: pytest.LogCaptureFixture, lane: Lane) -> list[str]:
    """Return what was said of a lane's ledger."""
    found: list[Any] = [record for record in caplog.records if getattr(record, "event", "") == "redis.unavailable"]
    return [record.getMessage() for record in found if record.fields.get("lane") is lane]


def test_an_outage_is_one_line_a_lane(
    mortal: tuple[EmbeddedValkey, Services], caplog: pytest.LogCaptureFixture
) -> None:
    """However many members and ticks it meets; and one when it is over."""
    caplog.set_level(logging.INFO, logger="photogpt")
    server, services = mortal
    records = claimed(services, 5)
    server.stop()
    for record in records:
        assert ticking.run_step(services, Lane.TRIGGERS, record, NEVER) is None
    for lane in (Lane.TRIGGERS, Lane.JOBS):
        ticking.tick(services, lane, "1")
    waiting = make_job(), Reschedule(after=1)
    ticking._put_back(services, Lane.JOBS, [waiting, waiting])
    assert [len(told(caplog, lane)) for lane in (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS)] == [1, 1, 0]
    server.start()
    for _ in range(2):
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            ticking.tick(services, Lane.TRIGGERS, str(client.hget(keys.loop(Lane.TRIGGERS), "token")))
    (_, over) = told(caplog, Lane.TRIGGERS)
    assert over.startswith("over after")
