"""The threads of a lane: slots, batches, and closing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.waiting import wait_until
from worker.lanes.pool import LanePool

SIZE = 4


class Written:
    """Keeps the batches that a pool writes."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, batch: list[int]) -> None:
        self.batches.append(batch)

    @property
    def values(self) -> list[int]:
        return sorted(value for batch in self.batches for value in batch)


@pytest.fixture
def written() -> Written:
    """The batches of the test's pool."""
    return Written()


@pytest.fixture
def pool(written: Written) -> Iterator[LanePool[int]]:
    """A pool that is closed after the test."""
    made = LanePool("test", SIZE, written)
    made.start()
    yield made
    made.close()


def all_slots_free(pool: LanePool[int]) -> bool:
    """Acquire and release every slot."""
    slots = pool.acquire_slots(SIZE)
    pool.release_slots(slots)
    return slots == SIZE


def returns(value: int | None) -> Callable[[], int | None]:
    """Return a step that returns a value."""
    return lambda: value


def test_slots_are_limited_by_the_size_and_by_the_request(pool: LanePool[int]) -> None:
    """A pool gives out no more slots than it has threads, and no more than were asked for."""
    assert pool.acquire_slots(3) == 3
    assert pool.acquire_slots(1000) == SIZE - 3
    assert pool.acquire_slots(1) == 0


def test_acquiring_waits_for_a_free_slot(pool: LanePool[int]) -> None:
    """A caller that may wait gets a slot as soon as one is released."""
    assert pool.acquire_slots(SIZE) == SIZE
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.append(pool.acquire_slots(SIZE, wait_s=30)))
    waiting.start()
    pool.release_slots(1)
    waiting.join(20)
    assert got == [1]


def test_a_step_gives_its_slot_back_even_if_it_raises(pool: LanePool[int]) -> None:
    """All slots are free again after every step has returned or raised."""
    for number in range(pool.acquire_slots(SIZE)):
        pool.submit(lambda number=number: 1 // (number % 2) and None)  # type: ignore[misc]
    wait_until(lambda: all_slots_free(pool), "all slots are free")


def test_slots_are_never_given_out_twice(pool: LanePool[int]) -> None:
    """Many threads that acquire at the same time get no more slots than there are."""
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(pool.acquire_slots(3))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(got) == SIZE


def test_returned_values_are_written_once(pool: LanePool[int], written: Written) -> None:
    """Every value that a step returns is written exactly once, and None is not written."""
    for number in range(pool.acquire_slots(SIZE)):
        pool.submit(returns(number or None))
    wait_until(lambda: len(written.values) == SIZE - 1, "all values are written")
    assert written.values == [1, 2, 3]
    assert all(written.batches)


def test_values_that_return_together_share_a_batch(pool: LanePool[int], written: Written) -> None:
    """Steps that return at the same moment are written with fewer batches than there are steps."""
    together = threading.Barrier(SIZE)
    for _ in range(pool.acquire_slots(SIZE)):
        pool.submit(lambda: together.wait(20) + 1)
    wait_until(lambda: len(written.values) == SIZE, "all values are written")
    assert len(written.batches) < SIZE


def test_a_value_that_no_other_joins_is_written_at_once() -> None:
    """The thread of a step that is alone writes its value, so that a poll's next one is not due later."""
    writers: list[str] = []
    pool: LanePool[int] = LanePool("test", SIZE, lambda _: writers.append(threading.current_thread().name))
    pool.start()
    pool.acquire_slots(1)
    pool.submit(returns(1))
    wait_until(lambda: writers, "the value is written")
    pool.close()
    assert writers == ["test-step_0"]


def test_a_write_that_raises_costs_its_own_batch_only(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that cannot be written is logged with its lane and its size, and the next batch is written."""
    written = Written()

    def write(batch: list[int]) -> None:
        written(batch)
        if batch == [1]:
            raise ValueError("a fault of ours")

    pool = LanePool("test", SIZE, write)
    pool.start()
    for value in (1, 2):
        assert pool.acquire_slots(1) == 1
        pool.submit(returns(value))
        wait_until(lambda value=value: value in written.values, f"{value} is written")  # type: ignore[misc]
    pool.close()
    assert written.batches == [[1], [2]]
    [record] = caplog.records
    assert (vars(record)["event"], vars(record)["fields"]) == ("lane.write_failed", {"lane": "test", "items": 1})


def test_closing_finishes_steps_and_writes_their_values(written: Written) -> None:
    """A pool that closes waits for the steps in progress and writes what they return."""
    pool, go_on = LanePool("test", 2, written), threading.Event()
    pool.start()
    assert pool.acquire_slots(2) == 2
    pool.submit(returns(1))
    pool.submit(lambda: 2 if go_on.wait(20) else 3)
    closing = threading.Thread(target=pool.close)
    closing.start()
    assert closing.is_alive()
    go_on.set()
    closing.join(20)
    assert not closing.is_alive()
    assert written.values == [1, 2]


def test_closing_an_unused_pool_twice_does_nothing(written: Written) -> None:
    """A pool that never ran a step can be closed, even twice."""
    pool = LanePool("test", 2, written)
    pool.close()
    pool.close()
    assert not written.batches


def test_a_slow_step_does_not_delay_others(pool: LanePool[int], written: Written) -> None:
    """While one step hangs, the other slots go on running steps and writing their values."""
    go_on = threading.Event()
    assert pool.acquire_slots(1) == 1
    pool.submit(lambda: None if go_on.wait(20) else 0)
    for _ in range(3):
        for _ in range(pool.acquire_slots(SIZE, wait_s=20)):
            pool.submit(returns(1))
    wait_until(lambda: len(written.values) >= 3, "other steps have run")
    wait_until(lambda: pool.busy_slots == 1, "the slow step alone keeps its slot")
    assert not go_on.is_set()
    go_on.set()
