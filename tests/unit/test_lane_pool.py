"""A lane's threads: what is promised is kept, what comes back is written, also at the end."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import wait_until
from worker.lanes.pool import WAITING, LanePool

SIZE = 4


@pytest.fixture
def pool() -> Iterator[LanePool]:
    """A crew that ends with the test."""
    made = LanePool("test", SIZE)
    yield made
    made.close()


def nothing(_: list[Any]) -> None:
    """Write nothing."""


def slow_down(pool: LanePool) -> None:
    """Let it believe that calls take long."""
    pool._pace_s = 10.0


def speed_up(pool: LanePool) -> None:
    """Let it believe that calls take a millisecond, all of it processor."""
    pool._pace_s = pool._effort_s = 0.001


def test_room_is_shared(pool: LanePool) -> None:
    """Where calls are short, a few more wait than there are threads; never more than asked for."""
    assert pool.acquire_slots(3) == 3
    assert pool.acquire_slots(1000) == SIZE * (1 + WAITING) - 3
    assert pool.acquire_slots(1) == 0


def test_small_room_is_none(pool: LanePool) -> None:
    """Where calls are short, a claim is worth while only for a quarter of all that there may be."""
    whole = pool.acquire_slots(1000)
    pool.release_slots(whole // 4 - 1)
    assert pool.acquire_slots(1) == 0
    pool.release_slots(1)
    assert pool.acquire_slots(1000) == whole // 4


def test_long_calls_leave_no_queue(pool: LanePool) -> None:
    """No more is claimed than there are threads, and less than nothing is none."""
    assert pool.acquire_slots(SIZE + 2) == SIZE + 2
    slow_down(pool)
    assert pool.acquire_slots(10) == 0
    pool.release_slots(3)
    assert pool.acquire_slots(10) == 1


def test_taking_gives_the_room_back(pool: LanePool) -> None:
    """Also after a step that raised against its promise."""
    whole = pool.acquire_slots(1000)
    for number in range(whole):
        pool.submit(lambda number=number: 1 / (number % 2) and None, nothing)  # type: ignore[misc]
    wait_until(lambda: pool._taken == 0, "all threads are done")
    assert pool.acquire_slots(1000) == whole


def test_reserving_from_many_threads(pool: LanePool) -> None:
    """Never gives out more than there is."""
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(pool.acquire_slots(3))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    whole = SIZE * (1 + WAITING)
    assert whole * 3 / 4 < sum(got) <= whole


def test_what_comes_back_is_written_together(pool: LanePool) -> None:
    """In few batches, each thing once, nothing where there is nothing."""
    batches: list[list[int]] = []
    begin = threading.Event()
    count = pool.acquire_slots(SIZE)

    def work(number: int) -> int | None:
        begin.wait(10)
        return number or None

    for number in range(count):
        pool.submit(lambda number=number: work(number), batches.append)  # type: ignore[misc]
    begin.set()
    wait_until(lambda: sum(map(len, batches)) == SIZE - 1, "all are written")
    assert sorted(number for batch in batches for number in batch) == [1, 2, 3]


def test_closing_writes_what_comes_back() -> None:
    """Also what comes back only while it closes, and the batch that waits for more."""
    pool, written, go_on = LanePool("test", 2), list[int](), threading.Event()

    def late() -> int:
        go_on.wait(10)
        return 2

    assert pool.acquire_slots(2) == 2
    pool.submit(lambda: 1, written.extend)
    pool.submit(late, written.extend)
    closing = threading.Thread(target=pool.close)
    closing.start()
    assert closing.is_alive()
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()
    assert sorted(written) == [1, 2]


def test_closing_waits_for_no_slow_call_first() -> None:
    """What waits behind one begins at once, though calls were short before."""
    pool, go_on, done = LanePool("test", 2), threading.Event(), threading.Event()
    speed_up(pool)
    assert pool.acquire_slots(2) == 2
    pool.submit(lambda: go_on.wait(20) and None, nothing)
    pool.submit(done.set, nothing)
    closing = threading.Thread(target=pool.close)
    closing.start()
    assert done.wait(10)
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()


def test_closing_what_never_began() -> None:
    """Does nothing, and twice."""
    pool = LanePool("test", 2)
    pool.close()
    pool.close()


def test_a_slow_call_holds_up_nobody(pool: LanePool) -> None:
    """The others come and go next to it."""
    stuck, done = threading.Event(), list[int]()
    assert pool.acquire_slots(1) == 1
    pool.submit(lambda: stuck.wait(20) and None, nothing)
    for _ in range(3):
        count = pool.acquire_slots(SIZE)
        for _ in range(count):
            pool.submit(lambda: 1, done.extend)
        wait_until(lambda: pool._taken == 1, "all but one are done")
    wait_until(lambda: len(done) == 3 * SIZE, "and written")
    stuck.set()


def test_calls_that_turn_slow_all_run(pool: LanePool) -> None:
    """Though few threads were enough before: each call waits here for all others."""
    speed_up(pool)
    together, done = threading.Barrier(SIZE), list[int]()
    for _ in range(pool.acquire_slots(SIZE)):
        pool.submit(lambda: together.wait(20) + 1, done.extend)
    wait_until(lambda: len(done) == SIZE, "all have met")


def test_a_slow_call_among_short_ones_holds_up_nobody(pool: LanePool) -> None:
    """One thread was enough for all; another one takes its place."""
    stuck, done = threading.Event(), list[int]()
    speed_up(pool)
    for number in range(pool.acquire_slots(1000)):
        pool.submit((lambda: stuck.wait(20) and None) if not number else lambda: 1, done.extend)
    wait_until(lambda: len(done) == SIZE * (1 + WAITING) - 1, "all others are written")
    assert not stuck.is_set()
    stuck.set()


def test_short_calls_get_few_threads() -> None:
    """Calls that only compute would wait for each other."""
    pool, lock, under_way, most = LanePool("test", 32), threading.Lock(), 0, 0

    def compute() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10_000)  # some milliseconds, in which the interpreter is free
        with lock:
            under_way -= 1

    for _ in range(4):
        most = 0
        for _ in range(pool.acquire_slots(1000)):
            pool.submit(compute, nothing)
        wait_until(lambda: pool._taken == 0, "all are done")
    pool.close()
    assert most < 8
