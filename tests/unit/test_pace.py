"""The pace of polls that find ended generations, with clocks of our own."""

from __future__ import annotations

import pytest

from worker.pace import CHECK_S, GROUP, MAX_S, MIN_S, Pace


class Clocks:
    """Seconds that pass only in `sleep`, and the CPU time that the process uses in them."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.at = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def cpu_s(self) -> float:
        return self.at * self.share

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.slept.append(seconds)


def begins(share: float, count: int = 4, *, apart_s: float = 0.0) -> list[float]:
    """Return when threads began that came one after another, in seconds after the first."""
    clocks = Clocks(share)
    pace, found = Pace(clock=clocks.now, cpu_s=clocks.cpu_s, sleep=clocks.sleep), []
    for _ in range(count):
        clocks.at += apart_s
        pace.wait()
        found.append(clocks.at)
    return [at - found[0] for at in found]


def test_threads_of_an_idle_process_begin_one_after_another() -> None:
    """An idle process lets two threads begin each 5 ms."""
    assert begins(0.1, 6) == pytest.approx([0, 0, MIN_S, MIN_S, 2 * MIN_S, 2 * MIN_S])


def test_a_busy_process_waits_longer_but_not_forever() -> None:
    """A process that uses its CPU all the time lets two threads begin each 12 ms."""
    assert begins(1.0, 8)[::GROUP] == pytest.approx([0, MAX_S, 2 * MAX_S, 3 * MAX_S], abs=3 * CHECK_S)


def test_a_thread_that_comes_later_does_not_wait() -> None:
    """A thread that comes 5 ms after those before begins at once, and so does the first of all."""
    clocks = Clocks(0.5)
    pace = Pace(clock=clocks.now, cpu_s=clocks.cpu_s, sleep=clocks.sleep)
    for _ in range(3 * GROUP):
        clocks.at += 1.1 * MIN_S
        pace.wait()
    assert sum(clocks.slept) == pytest.approx(0)


def test_a_process_begins_sooner_as_soon_as_it_is_idle() -> None:
    """A process that gets idle after 8 ms does not wait for the whole 12 ms."""
    clocks = Clocks(0.0)
    pace = Pace(clock=clocks.now, cpu_s=lambda: min(clocks.at, 100.008), sleep=clocks.sleep)
    for _ in range(GROUP + 1):
        pace.wait()
    assert 0.008 < clocks.at - 100 < MAX_S - CHECK_S
