"""How long generations took, as the ledger keeps it, and the schedule that comes of it."""

from __future__ import annotations

import pytest

from tests.contract.store.conftest import Line
from tests.unit.factories import success
from worker.domain.decision import Submitted
from worker.domain.job import JobState
from worker.domain.poll_schedule import bin_of
from worker.store import keys
from worker.store.durations import LIFE_S

FAMILY = "image:nanobanana"
NAME = keys.durations(FAMILY)


def end(line: Line, duration_s: float | None, *, state: JobState = JobState.SUCCEEDED) -> None:
    """Let a job end."""
    job = line.submitted(generation=f"g-{line.made}")
    assert line.finish(job, success(state=state), polled=True, duration_s=duration_s) is not None


def test_durations_add_up(line: Line) -> None:
    """By bin; the first one says since when."""
    before = line.store.clock()
    for duration_s in (20.0, 20.0, 5.0, 0.0):
        end(line, duration_s)
    history, since = line.store.schedules.history(FAMILY)
    assert history == {bin_of(20): 2, bin_of(5): 1, bin_of(0): 1}
    assert since == pytest.approx(before, abs=5)
    assert line.client.hget(NAME, "total") == "4"
    assert line.store.schedules.duration_groups() == [FAMILY]
    assert LIFE_S - 10 < line.ttl(NAME) <= LIFE_S


def test_who_does_not_know_says_nothing(line: Line) -> None:
    """Canceled and expired ones."""
    end(line, None, state=JobState.CANCELED)
    assert not line.client.exists(NAME)


def test_what_is_long_ago_counts_less(line: Line) -> None:
    """Beyond a number all weights are halved, and crumbs go; since when is not halved."""
    line.client.hset(
        NAME, mapping={"since": "1700000000.000000", "total": "2000", "7": "1900", "8": "0.1", "9": "99.9"}
    )
    end(line, 20.0)
    history, since = line.store.schedules.history(FAMILY)
    assert history == {7: 950, 9: pytest.approx(49.95), bin_of(20): 0.5}
    assert since == 1_700_000_000
    assert float(line.client.hget(NAME, "total")) == 1000.5


def test_a_schedule_is_learned(line: Line) -> None:
    """From what stands there, if it is old enough."""
    line.client.hset(NAME, mapping={"since": str(line.store.clock() - 3600), "total": "500", str(bin_of(30)): "500"})
    line.client.expire(NAME, 100)
    schedule = line.store.schedules.of(line.job())
    assert schedule.learned_from == 500
    assert 0 < schedule.min_duration_s < 30 < schedule.p95_duration_s < 45
    assert line.store.schedules.min_duration_s == schedule.min_duration_s


def test_ours_are_kept_while_one_is_in_doubt(line: Line) -> None:
    """Known generations go with age, but not before the oldest doubt, whose list they have to be told from."""
    now = line.store.clock()
    line.client.zadd(keys.GENERATIONS, {"old": now - 8000, "older": now - 12_000})
    line.client.zadd(keys.INTENTS, {"in-doubt": now - 3600})
    line.submitted(generation="g-1")
    assert line.client.zrange(keys.GENERATIONS, 0, -1) == ["old", "g-1"]
    line.client.zrem(keys.INTENTS, "in-doubt")
    line.submitted(generation="g-2")
    assert line.client.zrange(keys.GENERATIONS, 0, -1) == ["g-1", "g-2"]


def test_a_generation_of_a_job_that_has_ended_is_known(line: Line) -> None:
    """It exists, and is not under way for us: nobody brings it forward."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    seen = line.read(job)
    assert line.finish(seen, success(state=JobState.CANCELED)) is not None
    assert not line.store.jobs.mark_submitted(seen, Submitted("g-late"), poll_after=5)
    assert line.client.hlen(keys.JOBS_BY_GENERATION) == 0
    assert line.store.jobs.unknown_generations(["g-late"]) == []
    assert line.read(job).generation_id == "g-late"
