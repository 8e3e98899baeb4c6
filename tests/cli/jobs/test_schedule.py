"""`photogpt-worker schedule`."""

from __future__ import annotations

import json

import pytest
import redis

from config.settings import Settings
from tests.cli.conftest import Invoke
from tests.running import keys
from tests.unit.factories import make_job
from worker.domain.decision import Submitted
from worker.domain.poll_schedule import bin_of
from worker.store.lanes import leave_to_lane_monitor
from worker.store.list_poll import NAME
from worker.store.store import open_store


def add_durations(client: redis.Redis, duration_group: str, durations: list[float]) -> None:
    """Write durations that are old enough to be used."""
    for duration in durations:
        client.hincrbyfloat(keys.durations(duration_group), str(bin_of(duration)), 1)
    client.hset(keys.durations(duration_group), "since", 1)


def test_no_durations(client: redis.Redis, invoke: Invoke) -> None:
    """`schedule` without any durations prints that list polling was not used yet."""
    del client
    shown = invoke("schedule")
    assert shown.exit_code == 0
    assert "not used yet" in shown.output


def test_learned_schedules(client: redis.Redis, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duration group with enough durations gets a learned schedule; another one keeps the fixed interval."""
    monkeypatch.setenv("PHOTOGPT_SCHEDULE", "learned")
    add_durations(client, "image:nanobanana", [8.0] * 50)
    add_durations(client, "upscale", [3.0] * 5)
    found = {
        each["duration_group"]: each for each in json.loads(invoke("schedule", "--json").stdout)["duration_groups"]
    }
    assert found["image:nanobanana"]["learned"]
    assert 0 < found["image:nanobanana"]["expected_delay_s"] < 8
    assert not found["upscale"]["learned"]
    assert "image:nanobanana" in invoke("schedule").stdout


def test_list_polling_in_use(client: redis.Redis, invoke: Invoke) -> None:
    """`schedule` prints whether list polling is active, and how many pages the last list poll read."""
    client.hset(keys.list_poll(NAME), mapping={"id": NAME, "window_s": 3, "pages": 7, "interval_s": 1.5, "at": 1})
    assert "active every 1.5 s; 7 pages" in invoke("schedule").output
    client.hset(keys.list_poll(NAME), "window_s", 0)
    assert "not used" in invoke("schedule").output


def test_the_next_poll_of_a_job(client: redis.Redis, invoke: Invoke, settings: Settings) -> None:
    """`schedule JOB_ID` prints the duration group and the time of the next poll, and refuses an unknown job."""
    del client
    store = open_store(settings, leave_to_lane_monitor)
    now = store.clock()
    job = make_job(id="waiting", created_at=now, deadline_at=now + 3600)
    store.jobs.accept(job, digest="d", continuation="{}")
    store.jobs.record_intent(job)
    store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=30)
    store.close()
    result = invoke("schedule", "waiting")
    assert result.exit_code == 0
    assert "image:" in result.output
    assert "next poll in" in result.output
    assert invoke("schedule", "unknown-job").exit_code == 1
