"""Records that expire while a worker writes: no write brings one back without its TTL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.contract.store.conftest import Line
from tests.running import keys
from tests.unit.factories import make_job
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import JobState
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, outcome
from worker.store.store import Store

JOB = make_job()
SUCCESS = JobResult(state=JobState.SUCCEEDED)

WRITES: dict[str, Callable[[Store], Any]] = {
    "count": lambda store: store.jobs.count(JOB.id, "faults"),
    "mark_published": lambda store: store.jobs.mark_published(JOB.id),
    "mark_submitted": lambda store: store.jobs.mark_submitted(JOB, Submitted("g-1"), poll_after=5),
    "mark_running": lambda store: store.jobs.mark_running(JOB, poll_after=5),
    "record_intent": lambda store: store.jobs.record_intent(JOB),
    "record_acceptance": lambda store: store.jobs.record_acceptance(JOB, "1800000000.000000"),
    "reschedule": lambda store: store.lanes.reschedule(Lane.TRIGGERS, [(JOB, Reschedule(after=1, polled=True))]),
    "requeue": lambda store: store.lanes.requeue([(JOB, Reschedule(after=1, requeue=True))]),
    "begin_storing": lambda store: store.files.begin_storing(JOB, SUCCESS, polled=True, duration_s=None, fields={}),
    "record_stored": lambda store: store.files.record_failure(JOB.id, "broken"),
    "mark_stored": lambda store: store.files.mark_stored(JOB, outcome(JOB, SUCCESS)),
    "store_again": lambda store: store.files.store_again(JOB.id),
    "choose_replay": lambda store: store.job_history.choose_replay(JOB.id),
    "withdraw_replay": lambda store: store.job_history.withdraw_replay(JOB.id),
}
"""Every write to the record of a job that is already accepted."""


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_no_write_creates_a_record_that_expires(
    line: Line, monkeypatch: pytest.MonkeyPatch, write: Callable[[Store], Any]
) -> None:
    """A record that expires after the first command of a write is not created again by the next command."""
    write(line.store)  # loads the script
    line.accept(line.job(id=JOB.id))
    execute: Any = redis.Redis.execute_command

    def execute_and_expire(self: redis.Redis, *args: Any, **options: Any) -> Any:
        answer = execute(self, *args, **options)
        if execute(self, "TTL", keys.job(JOB.id)) > 0:
            execute(self, "DEL", keys.job(JOB.id))
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(redis.Redis, "execute_command", execute_and_expire)
        write(line.store)
    assert not line.client.exists(keys.job(JOB.id))
