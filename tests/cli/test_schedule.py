"""`photogpt-worker schedule`: what was learned, and why the next look is when it is."""

from __future__ import annotations

import json

import pytest
import redis

from config.settings import Settings
from tests.cli.conftest import Invoke
from tests.unit.factories import make_job
from worker.domain.decision import Submitted
from worker.domain.poll_schedule import bin_of
from worker.store import keys
from worker.store.connection import open_store
from worker.store.lanes import leave_to_lane_monitor
from worker.store.list_poll import NAME


def teach(client: redis.Redis, duration_group: str, durations: list[float]) -> None:
    """Write a history that is old enough to be believed."""
    for duration in durations:
        client.hincrbyfloat(keys.durations(duration_group), str(bin_of(duration)), 1)
    client.hset(keys.durations(duration_group), "since", 1)


def test_nothing_is_known(client: redis.Redis, invoke: Invoke) -> None:
    """Said so."""
    del client
    shown = invoke("schedule")
    assert shown.exit_code == 0
    assert "no sweep yet" in shown.output


def test_what_was_learned(client: redis.Redis, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family with enough durations has a schedule of its own, one with few keeps to the interval."""
    monkeypatch.setenv("PHOTOGPT_SCHEDULE", "learned")
    teach(client, "image:nanobanana", [8.0] * 50)
    teach(client, "upscale", [3.0] * 5)
    found = {each["family"]: each for each in json.loads(invoke("schedule", "--json").stdout)["families"]}
    assert found["image:nanobanana"]["learned"]
    assert 0 < found["image:nanobanana"]["delay_s"] < 8
    assert not found["upscale"]["learned"]
    assert "image:nanobanana" in invoke("schedule").stdout


def test_a_sweep_that_is_still_to_come(client: redis.Redis, invoke: Invoke) -> None:
    """No pages were read of those who are too young, and none are said to have been."""
    client.hset(keys.list_poll(NAME), mapping={"id": NAME, "window_s": 3, "pages": 0, "at": 1})
    assert "too young" in invoke("schedule").output
    client.hset(keys.list_poll(NAME), "pages", 7)
    assert "7 pages" in invoke("schedule").output


def test_why_a_job_waits(client: redis.Redis, invoke: Invoke, settings: Settings) -> None:
    """In a sentence that names the family and the seconds; an unknown job is said to be unknown."""
    del client
    store = open_store(settings, leave_to_lane_monitor)
    now = store.clock()
    job = make_job(id="waiting", created_at=now, deadline_at=now + 3600)
    store.jobs.accept(job, digest="d", continuation="{}")
    store.jobs.record_intent(job)
    store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=30)
    store.close()
    told = invoke("schedule", "waiting")
    assert told.exit_code == 0
    assert "image:" in told.output
    assert "next look in" in told.output
    assert invoke("schedule", "nobody").exit_code == 1
