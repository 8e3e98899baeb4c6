"""The lane runner on a real Redis and a real API: steps, decisions and outages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from config.settings import Settings
from tests.conftest import image_request
from tests.contract.workers import open_worker, token_of
from tests.running import keys
from tests.unit.factories import make_job
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Reschedule
from worker.domain.lane import Lane
from worker.lanes.runner import BUSY_RETRY_S, LaneRunner
from worker.sandbox.remote import SandboxProcess
from worker.services import Services
from worker.store.codec import FIELDS
from worker.store.keys import ID
from worker.store.lanes import Tick
from worker.telemetry.labels import PoolState

NO_LIMIT = float("inf")


def accept_jobs(services: Services, count: int) -> None:
    """Store some jobs."""
    for number in range(count):
        at = services.store.clock()
        job = make_job(id=f"job-{number}", request=image_request(), created_at=at, deadline_at=at + 600)
        services.store.jobs.accept(job, digest="d", continuation="{}")


def claim_records(services: Services, client: redis.Redis, count: int) -> list[list[str | None]]:
    """Accept some jobs, and return their records as a claim returns them."""
    accept_jobs(services, count)
    token = token_of(client, Lane.TRIGGERS)
    claim = services.store.lanes.claim(Lane.TRIGGERS, token, limit=99, lease_s=60, pattern=keys.job(ID), fields=FIELDS)
    assert claim is not None
    return claim.records


def test_an_accepted_trigger_without_an_id_is_recorded_at_once(
    client: redis.Redis, sandbox: SandboxProcess, settings: Settings
) -> None:
    """An accepted trigger without an id is recorded before the job is rescheduled, so that a crash repeats nothing."""
    sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"missing_job_id": True}}])
    services = open_worker(settings)
    runner = LaneRunner(services)
    runner.start()
    (record,) = claim_records(services, client, 1)
    rescheduled = runner._run_step(Lane.TRIGGERS, record, NO_LIMIT)
    assert rescheduled is not None
    assert isinstance(rescheduled[1], Reschedule)
    assert client.hget(keys.job("job-0"), "accepted_intent") == client.hget(keys.job("job-0"), "intent_at") != ""
    job = services.store.jobs.get("job-0")
    runner.close()
    services.close()
    assert job is not None
    assert job.accepted_without_id


def test_the_second_generation_starts_list_polling(
    client: redis.Redis, sandbox: SandboxProcess, settings: Settings
) -> None:
    """The list poll is scheduled with the second generation under way, and not with the first."""
    services = open_worker(settings)
    runner = LaneRunner(services)
    scheduled = []
    for record in claim_records(services, client, 2):
        runner._run_step(Lane.TRIGGERS, record, NO_LIMIT)
        scheduled.append(services.store.lanes.sizes()[Lane.LIST_POLLS])
    services.close()
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 2
    assert scheduled == [0, 1]


def test_a_busy_lane_repeats_no_tick_that_has_run(client: redis.Redis, settings: Settings) -> None:
    """A lane without a free thread sends its tick again, later, but not a copy of one that has run."""
    services = open_worker(settings)
    runner = LaneRunner(services)
    accept_jobs(services, 1)
    token = token_of(client, Lane.TRIGGERS)
    pool = runner._pools[Lane.TRIGGERS]
    pool.acquire_slots(pool.free_slots)
    publisher: Any = services.publisher
    runner.run(Lane.TRIGGERS, token)
    runner.run(Lane.TRIGGERS, "0")
    sent = [call.args[0] for call in publisher.send_tick.call_args_list]
    publisher.publish_tick.reset_mock()
    services.store.lanes.ensure_ticks()
    services.close()
    assert sent == [Tick(Lane.TRIGGERS, token, BUSY_RETRY_S)]
    assert not publisher.publish_tick.called  # one is on its way


def test_no_slot_of_an_idle_worker_is_busy(client: redis.Redis, settings: Settings) -> None:
    """A lane with fewer threads than PHOTOGPT_CALL_CONCURRENCY shows no busy ones while it has nothing to do."""
    del client
    services = open_worker(settings)
    runner = LaneRunner(services)
    slots = {lane: runner.threads(lane) for lane in Lane}
    services.close()
    assert {each[PoolState.BUSY] for each in slots.values()} == {0}
    assert slots[Lane.FILES][PoolState.FREE] < slots[Lane.JOBS][PoolState.FREE] == settings.call_concurrency


def test_a_run_triggers_every_due_job(client: redis.Redis, sandbox: SandboxProcess, settings: Settings) -> None:
    """One run of the trigger lane triggers every accepted job once, also if its message comes twice."""
    services = open_worker(settings)
    runner = LaneRunner(services)
    runner.start()
    accept_jobs(services, 5)
    token = token_of(client, Lane.TRIGGERS)
    runner.run(Lane.TRIGGERS, token)
    runner.run(Lane.TRIGGERS, token)
    wait_until(lambda: len(sandbox.control.generations()) == 5, "all are triggered")
    runner.close()
    states = {services.store.jobs.get(f"job-{number}").state.value for number in range(5)}  # type: ignore[union-attr]
    services.close()
    assert states == {"submitted"}
    assert len(sandbox.control.generations()) == 5


def test_a_step_whose_lease_is_too_short_does_not_begin(
    client: redis.Redis, sandbox: SandboxProcess, settings: Settings
) -> None:
    """A step does not begin once the lease could end before it does, since another worker may claim the job then."""
    services = open_worker(settings)
    runner = LaneRunner(services)
    runner.start()
    (record,) = claim_records(services, client, 1)
    assert runner._run_step(Lane.TRIGGERS, record, 0.0) is None
    runner.close()
    services.close()
    assert not sandbox.control.generations()


def test_jobs_go_back_when_the_process_stops(client: redis.Redis, sandbox: SandboxProcess, settings: Settings) -> None:
    """A claimed job whose step has not begun is rescheduled at once when the process stops."""
    services = open_worker(settings)
    runner = LaneRunner(services)
    runner.start()
    (record,) = claim_records(services, client, 1)
    services.stopping.set()
    rescheduled = runner._run_step(Lane.TRIGGERS, record, NO_LIMIT)
    runner.close()
    services.close()
    assert rescheduled is not None
    assert rescheduled[1].after == 0
    assert not sandbox.control.generations()


@pytest.fixture
def own_server(settings: Settings, tmp_path: Path) -> Iterator[tuple[EmbeddedValkey, Services]]:
    """A Redis that a test may stop, and the clients of a worker there."""
    server = EmbeddedValkey(tmp_path)
    own = Settings(_env_file=None, redis_url=server.url, base_url=settings.base_url, api_key="sandbox-key")
    services = open_worker(own)
    yield server, services
    services.close()
    server.stop()


def lane_events(caplog: pytest.LogCaptureFixture, lane: Lane) -> list[str]:
    """Return the log events about Redis for one lane."""
    records: list[Any] = [each for each in caplog.records if getattr(each, "event", "").startswith("redis.")]
    return [record.event for record in records if record.fields.get("lane") == lane.value]


def test_an_outage_of_redis_is_one_line_per_lane(
    own_server: tuple[EmbeddedValkey, Services], caplog: pytest.LogCaptureFixture
) -> None:
    """An outage of Redis is logged once per lane however many jobs it concerns, and once more when it ends."""
    caplog.set_level(logging.INFO, logger="photogpt")
    server, services = own_server
    runner = LaneRunner(services)
    runner.start()
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        records = claim_records(services, client, 5)
    server.stop()
    for record in records:
        assert runner._run_step(Lane.TRIGGERS, record, NO_LIMIT) is None
    for lane in (Lane.TRIGGERS, Lane.JOBS):
        runner.run(lane, "1")
    waiting = make_job(), Reschedule(after=1)
    runner._reschedule(Lane.JOBS, [waiting, waiting])
    lines = [lane_events(caplog, lane) for lane in (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS)]
    assert lines == [["redis.unavailable"], ["redis.unavailable"], []]
    server.start()
    for _ in range(2):
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            runner.run(Lane.TRIGGERS, token_of(client, Lane.TRIGGERS))
    runner.close()
    assert lane_events(caplog, Lane.TRIGGERS) == ["redis.unavailable", "redis.recovered"]
