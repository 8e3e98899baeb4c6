"""When a worker process counts as alive and ready."""

from __future__ import annotations

import pytest

from worker.telemetry.health import MAX_LOOP_AGE_S, MAX_REDIS_SILENCE_S, Health
from worker.telemetry.labels import LoopPart


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def working(clock: Clock) -> Health:
    """The health of a worker that works."""
    health = Health(clock)
    for part in LoopPart:
        health.beat(part)
    health.redis_answered()
    health.started = health.consuming = True
    return health


def test_a_worker_that_starts_is_alive_and_not_ready(clock: Clock) -> None:
    """A process whose loops have not begun is alive, has not started, and takes no work."""
    health = Health(clock)
    clock.now += 10 * MAX_LOOP_AGE_S
    assert (health.faults(), bool(health.unready()), bool(health.unstarted())) == ([], True, True)


def test_a_worker_has_started_once_it_connects(clock: Clock) -> None:
    """A worker that waits for its servers has started: a restart would not help it."""
    health = Health(clock)
    health.beat(LoopPart.CONSUMER)
    assert (health.unstarted(), bool(health.unready())) == ([], True)


def test_a_working_worker_is_ready(working: Health) -> None:
    """A worker whose loops go round and whose Redis answers has no problem."""
    assert (working.faults(), working.unready(), working.unstarted()) == ([], [], [])


@pytest.mark.parametrize("still", LoopPart)
def test_a_loop_that_stands_still_is_a_fault(working: Health, clock: Clock, still: LoopPart) -> None:
    """One loop that stands still is named as the fault, although the other one goes round."""
    clock.now += MAX_LOOP_AGE_S + 1
    for part in set(LoopPart) - {still}:
        working.beat(part)
    (fault,) = working.faults()
    assert still in fault
    assert fault in working.unready()
    working.beat(still)
    assert working.faults() == []


def test_a_loop_that_waits_for_a_server_is_no_fault(working: Health, clock: Clock) -> None:
    """While a server is silent a loop may wait for it, and then it has as long to go on as at any time."""
    clock.now += MAX_LOOP_AGE_S + 40
    working.server_silent()
    assert (working.faults(), working.slowest_s()) == ([], MAX_LOOP_AGE_S + 40)
    clock.now += MAX_LOOP_AGE_S - 1
    assert working.faults() == []
    clock.now += 2
    assert len(working.faults()) == len(LoopPart)


def test_a_silent_redis_is_no_fault(working: Health, clock: Clock) -> None:
    """While Redis does not answer the worker is not ready, and it lives."""
    clock.now += MAX_REDIS_SILENCE_S + 1
    for part in LoopPart:
        working.beat(part)
    assert (working.faults(), len(working.unready())) == ([], 1)
    working.redis_answered()
    assert working.unready() == []


def test_a_lost_broker_is_no_fault(working: Health) -> None:
    """Without its broker the worker is not ready, and it lives."""
    working.consuming = False
    assert (working.faults(), len(working.unready())) == ([], 1)


def test_a_worker_that_stops_is_alive(working: Health, clock: Clock) -> None:
    """A worker that finishes its calls takes no work, and its loops that have ended are no fault."""
    working.stopping = True
    clock.now += 10 * MAX_LOOP_AGE_S
    assert (working.faults(), "the worker stops" in working.unready()) == ([], True)
