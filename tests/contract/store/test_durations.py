"""The durations of generations in Redis, and the schedules that follow from them."""

from __future__ import annotations

import pytest

from tests.contract.store.conftest import Line
from tests.unit.factories import success
from worker.domain.decision import Submitted
from worker.domain.job import JobState
from worker.domain.poll_schedule import bin_of
from worker.store import keys
from worker.store.durations import RETENTION_S

FAMILY = "image:nanobanana"
NAME = keys.durations(FAMILY)


def end(line: Line, duration_s: float | None, *, state: JobState = JobState.SUCCEEDED) -> None:
    """Let a job end."""
    job = line.submitted(generation=f"g-{line.made}")
    assert line.finish(job, success(state=state), polled=True, duration_s=duration_s) is not None


def test_durations_are_counted_by_bin(line: Line) -> None:
    """Durations are counted by bin, with their total and the time of the first one."""
    before = line.store.clock()
    for duration_s in (20.0, 20.0, 5.0, 0.0):
        end(line, duration_s)
    history, since = line.store.schedules.history(FAMILY)
    assert history == {bin_of(20): 2, bin_of(5): 1, bin_of(0): 1}
    assert since == pytest.approx(before, abs=5)
    assert line.client.hget(NAME, "total") == "4"
    assert line.store.schedules.duration_groups() == [FAMILY]
    assert RETENTION_S - 10 < line.ttl(NAME) <= RETENTION_S


def test_an_unknown_duration_is_not_counted(line: Line) -> None:
    """A job that ends without a known duration adds none."""
    end(line, None, state=JobState.CANCELED)
    assert not line.client.exists(NAME)


def test_old_durations_lose_weight(line: Line) -> None:
    """Above the maximum weight all weights are halved, small ones are removed, and the first time stays."""
    line.client.hset(
        NAME, mapping={"since": "1700000000.000000", "total": "2000", "7": "1900", "8": "0.1", "9": "99.9"}
    )
    end(line, 20.0)
    history, since = line.store.schedules.history(FAMILY)
    assert history == {7: 950, 9: pytest.approx(49.95), bin_of(20): 0.5}
    assert since == 1_700_000_000
    assert float(line.client.hget(NAME, "total")) == 1000.5


def test_a_schedule_is_learned(line: Line) -> None:
    """A history that is old enough gives a learned schedule."""
    line.client.hset(NAME, mapping={"since": str(line.store.clock() - 3600), "total": "500", str(bin_of(30)): "500"})
    line.client.expire(NAME, 100)
    schedule = line.store.schedules.of(line.job())
    assert schedule.learned_from == 500
    assert 30 < schedule.p95_duration_s < 45


def test_generations_are_kept_during_an_open_intent(line: Line) -> None:
    """Known generations expire by age, but not while an older intent is open."""
    now = line.store.clock()
    line.client.zadd(keys.GENERATIONS, {"old": now - 8000, "older": now - 12_000})
    line.client.zadd(keys.INTENTS, {"unresolved": now - 3600})
    line.submitted(generation="g-1")
    assert line.client.zrange(keys.GENERATIONS, 0, -1) == ["old", "g-1"]
    line.client.zrem(keys.INTENTS, "unresolved")
    line.submitted(generation="g-2")
    assert line.client.zrange(keys.GENERATIONS, 0, -1) == ["g-1", "g-2"]


def test_the_generation_of_an_ended_job_is_known(line: Line) -> None:
    """A generation that PhotoGPT returns for a job that has ended is known as ours, and not in flight."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    seen = line.read(job)
    assert line.finish(seen, success(state=JobState.CANCELED)) is not None
    assert not line.store.jobs.mark_submitted(seen, Submitted("g-late"), poll_after=5)
    assert line.client.hlen(keys.JOBS_BY_GENERATION) == 0
    assert line.store.generations.unknown(["g-late"]) == []
    assert line.read(job).generation_id == "g-late"
