"""What workers notice of data that Redis has lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.store.conftest import Line
from tests.running import keys
from worker.store.workers import MAX_BEHIND_S, Workers

NewWorkers = Callable[[], Workers]


@pytest.fixture
def new(line: Line) -> NewWorkers:
    """Return a function that returns what another worker process has."""
    return lambda: Workers(line.client, line.store.scripts)


def test_a_start_is_no_loss(line: Line, new: NewWorkers) -> None:
    """Workers that start on an empty Redis, together or one after the other, notice no loss and share the marker."""
    first, second = new(), new()
    assert [each.mark(name) for each, name in ((first, "a"), (second, "b"), (first, "a"))] == [None] * 3
    state = line.store.fleet.read()
    assert state.data_since == pytest.approx(line.store.clock(), abs=5)
    assert state.data_loss is None


def test_an_emptied_redis_is_noticed_by_each_worker(line: Line, new: NewWorkers) -> None:
    """Every worker that saw the data notices its loss once, with what was in flight; one that starts then does not."""
    line.submitted()
    first, second = new(), new()
    for worker, name in ((first, "a"), (second, "b"), (first, "a"), (second, "b")):
        worker.mark(name)
    line.client.flushall()
    assert new().mark("c") is None  # it starts first, and makes the marker
    for worker, name in ((first, "a"), (second, "b")):
        loss = worker.mark(name)
        assert loss
        assert loss.complete
        assert loss.in_flight == 1
        assert "what it stored before 2" in str(loss)
        assert worker.mark(name) is None
    loss = line.store.fleet.read().data_loss
    assert loss
    assert (loss.complete, loss.in_flight) == (True, 1)


def test_a_second_loss_is_recorded(line: Line, new: NewWorkers) -> None:
    """A loss replaces an earlier one that the data of another Redis had recorded."""
    worker = new()
    worker.mark("a")
    line.client.hset(keys.data, mapping={"marker": "of another Redis", "lost_at": "1000", "lost": "some"})
    assert worker.mark("a")
    loss = line.store.fleet.read().data_loss
    assert loss
    assert loss.complete
    assert loss.noticed_at > 1000


@pytest.mark.parametrize(("behind_s", "lost"), [(MAX_BEHIND_S + 20, True), (MAX_BEHIND_S - 2, False)])
def test_older_data_is_noticed(line: Line, new: NewWorkers, behind_s: float, lost: bool) -> None:
    """Data that lacks more than a file that is written each second may lack is a loss, with its own time."""
    worker = new()
    worker.mark("a")
    at = line.store.clock() - behind_s
    line.client.zadd(keys.workers, {"a": at})
    loss = worker.mark("a")
    assert (loss is not None) is lost
    if loss:
        assert not loss.complete
        assert loss.restored_to == pytest.approx(at, abs=1)
        assert "Redis went back to older data" in str(loss)
    assert worker.mark("a") is None


def test_data_of_before_the_worker(line: Line, new: NewWorkers) -> None:
    """Older data in which the worker does not stand yet is a loss, too; after an hour without Redis it may be none."""
    worker = new()
    worker.mark("a")
    line.client.delete(keys.workers)
    loss = worker.mark("a")
    assert loss
    assert loss.restored_to is None
    assert "from an unknown time to" in str(loss)
    worker._marked_at = str(line.store.clock() - 4000)
    line.client.delete(keys.workers)
    assert worker.mark("a") is None
