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
from worker.store.records import JobAccepted, Unaccepted
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
    """A batch counts how each item ends, and has one event once all have; repeating any of it adds nothing."""
    batch = Batch("b1", 3)
    job, refused = line.accepted(batch=batch), line.job(batch=batch)
    line.store.jobs.accept(job, digest="digest")
    failed = success(state=JobState.FAILED, images=())
    for _ in range(2):
        line.store.batches.count_rejected("d1", Batch("b1", 0))
        line.finish(refused, failed, unaccepted=Unaccepted("", ""))
    assert line.client.exists(keys.batch_events("b1")) == 0
    for _ in range(2):
        line.finish(job, success())
        line.store.batches.join(job.id, batch)
    line.store.batches.count_rejected("d1", batch)

    shape = golden("outcomes/batch")
    record = line.client.hgetall(keys.batch("b1"))
    assert record.pop("rejected:d1") == "1"
    assert record | {"created_at": "", "finished_at": ""} == shape["record"] | {"created_at": "", "finished_at": ""}
    ((_, event),) = line.client.xrange(keys.batch_events("b1"))
    assert event.keys() == shape["event"].keys()
    assert event["type"] == "batch.finished"
    for name in (keys.batch("b1"), keys.batch_events("b1")):
        assert line.ttl(name) >= max(line.ttl(keys.job(each.id)) for each in (job, refused))


def test_a_job_counts_in_every_batch_that_names_it(line: Line) -> None:
    """A job that was accepted before counts once in each later batch, whether it has ended by then or not."""
    batches = [Batch(f"b{number}", 1) for number in range(4)]
    job = line.accepted(batch=batches[0])
    for batch in (*batches[:3], *batches[:3]):
        line.store.batches.join(job.id, batch)
    assert not any(line.client.exists(keys.batch_events(batch.id)) for batch in batches)
    line.finish(job, success())
    line.store.batches.join("unknown", batches[3])
    for batch in (batches[3], *batches):
        line.store.batches.join(job.id, batch)
    for batch in batches:
        record = line.client.hgetall(keys.batch(batch.id))
        assert (record["succeeded"], record["ended"], line.client.xlen(keys.batch_events(batch.id))) == ("1", "1", 1)
        assert line.ttl(keys.batch(batch.id)) >= line.ttl(keys.job(job.id))


def test_a_job_without_a_batch_counts_nowhere(line: Line) -> None:
    """A job that belongs to no batch leaves no key of one."""
    job = line.job(Kind.VIDEO)
    assert isinstance(line.store.jobs.accept(job, digest="d"), JobAccepted)
    line.finish(job, success())
    assert list(line.client.scan_iter(match="photogpt:batch*")) == []
