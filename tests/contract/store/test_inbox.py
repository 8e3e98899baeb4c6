"""The inbox on a real Valkey: who gets an entry, and what outlives a lost group."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.store.conftest import Line
from tests.golden import golden
from tests.running import keys
from tests.unit.factories import success
from worker.domain.job import Batch, JobState, Kind
from worker.store.inbox import GROUP, Entry, Inbox
from worker.store.records import JobAccepted
from worker.store.streams import entries_of


def read(inbox: Inbox) -> list[Entry]:
    """Return what no worker has read yet."""
    return inbox.read(10, block_s=0.01)


def test_an_entry_is_read_once_and_deleted(line: Line) -> None:
    """Of two reads only one gets an entry, and nothing of it is left once it is deleted."""
    inbox = line.store.inbox
    entry_id = inbox.append("{}")
    assert (read(inbox), read(inbox)) == ([Entry(entry_id, {"job": "{}"})], [])
    assert (inbox.holds(entry_id), inbox.length()) == (True, 1)
    inbox.delete([entry_id])
    assert (inbox.holds(entry_id), inbox.length()) == (False, 0)
    assert line.client.xpending(keys.inbox, GROUP)["pending"] == 0


@pytest.mark.parametrize("answer", [[["s", [("1-0", {"a": "b"})]]], {"s": [[("1-0", {"a": "b"})]]}], ids=["2", "3"])
def test_both_versions_of_the_protocol(answer: Any) -> None:
    """Entries are read from the answer of either version of Redis' protocol."""
    assert entries_of(answer) == [("1-0", {"a": "b"})]


def test_an_entry_that_was_left_is_claimed(line: Line) -> None:
    """An entry that a worker has read and not deleted is claimed by idle time."""
    inbox = line.store.inbox
    entry_id = inbox.append("{}")
    read(inbox)
    assert inbox.claim(10, idle_s=60) == []
    assert [entry.id for entry in inbox.claim(10, idle_s=0)] == [entry_id]


def test_a_lost_group_loses_no_entry(line: Line) -> None:
    """After the loss of the group, every entry that is still there is read again."""
    inbox = line.store.inbox
    first = inbox.append("{}")
    read(inbox)
    line.client.xgroup_destroy(keys.inbox, GROUP)
    second = inbox.append("{}")
    assert inbox.claim(10, idle_s=0) == []
    assert [entry.id for entry in read(inbox)] == [first, second]


def test_a_deleted_entry_is_no_entry(line: Line) -> None:
    """An entry that another client deletes between read and claim is left out."""
    inbox = line.store.inbox
    entry_id = inbox.append("{}")
    read(inbox)
    line.client.xdel(keys.inbox, entry_id)
    assert inbox.claim(10, idle_s=0) == []


def test_a_batch_counts_and_finishes_once(line: Line) -> None:
    """A batch counts how its jobs end, and has one event once all have; repeating an end or an accept adds nothing."""
    batch = Batch("b1", 3)
    jobs = [line.accepted(batch=batch) for _ in range(2)]
    line.store.jobs.accept(jobs[0], digest="digest")
    refused = line.job(batch=batch)
    failed = success(state=JobState.FAILED, images=())
    for _ in range(2):
        line.finish(jobs[0], success())
        line.finish(refused, failed, create="")
    assert line.client.exists(keys.batch_events("b1")) == 0
    line.finish(jobs[1], success())
    line.finish(jobs[1], success())

    shape = golden("outcomes/batch")
    record = line.client.hgetall(keys.batch("b1"))
    assert record | {"created_at": "", "finished_at": ""} == shape["record"] | {"created_at": "", "finished_at": ""}
    ((_, event),) = line.client.xrange(keys.batch_events("b1"))
    assert event.keys() == shape["event"].keys()
    assert event["type"] == "batch.finished"
    for name in (keys.batch("b1"), keys.batch_events("b1")):
        assert line.ttl(name) >= max(line.ttl(keys.job(job.id)) for job in jobs)


def test_a_job_without_a_batch_counts_nowhere(line: Line) -> None:
    """A job that belongs to no batch leaves no key of one."""
    job = line.job(Kind.VIDEO)
    assert isinstance(line.store.jobs.accept(job, digest="d"), JobAccepted)
    line.finish(job, success())
    assert list(line.client.scan_iter(match="photogpt:batch*")) == []
