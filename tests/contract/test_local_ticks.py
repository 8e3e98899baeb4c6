"""Ticks that run in the process that asked for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.waiting import wait_until
from worker.domain.lane import SOON_S, Lane
from worker.lanes.ticks import MAX_LOCAL, LocalTicks
from worker.store.lanes import Tick


class Line:
    """Local ticks whose runs and messages are recorded; a run waits for `go_on`."""

    def __init__(self) -> None:
        """Start the threads; runs go on at once."""
        self.ran: list[tuple[Lane, str]] = []
        self.sent: list[Tick] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.stopping = threading.Event()
        self.ticks = LocalTicks(self._run, self.sent.append, self.stopping)
        self.ticks.start()

    def _run(self, lane: Lane, token: str) -> None:
        assert self.go_on.wait(10)
        if token == "bad":
            raise ValueError("a fault of ours")
        self.ran.append((lane, token))


@pytest.fixture
def line() -> Iterator[Line]:
    """Local ticks; closed afterwards."""
    made = Line()
    yield made
    made.stopping.set()
    made.go_on.set()
    made.ticks.close()


def test_a_tick_that_is_due_soon_runs_here(line: Line) -> None:
    """A tick that is due now or soon runs in this process, once it is due; no message is sent."""
    assert line.ticks.take(Tick(Lane.JOBS, "later", 0.2))
    assert line.ticks.take(Tick(Lane.TRIGGERS, "now", 0))
    wait_until(lambda: len(line.ran) == 2, "both have run")
    assert line.ran == [(Lane.TRIGGERS, "now"), (Lane.JOBS, "later")]
    assert line.sent == []


def test_a_later_tick_is_a_message(line: Line) -> None:
    """A tick that is due later than soon has to be sent."""
    assert not line.ticks.take(Tick(Lane.JOBS, "1", SOON_S + 0.1))


def test_a_blocked_run_delays_no_other_lane(line: Line) -> None:
    """Further ticks run while runs of one lane are blocked, and those beyond the threads have to be sent."""
    line.go_on.clear()
    assert all(line.ticks.take(Tick(Lane.JOBS, str(number), 0)) for number in range(MAX_LOCAL))
    assert not line.ticks.take(Tick(Lane.DELIVERIES, "1", 0))
    line.go_on.set()
    wait_until(lambda: len(line.ran) == MAX_LOCAL, "all have run")
    wait_until(lambda: line.ticks.take(Tick(Lane.DELIVERIES, "1", 0)), "a thread is free")


def test_a_stop_sends_what_waits(line: Line) -> None:
    """A process that stops sends the ticks that wait in it, due at once, and takes no more."""
    assert line.ticks.take(Tick(Lane.JOBS, "1", SOON_S))
    line.stopping.set()
    line.ticks.close()
    assert line.sent == [Tick(Lane.JOBS, "1", 0)]
    assert not line.ticks.take(Tick(Lane.JOBS, "2", 0))


def test_a_run_that_raises_is_logged(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """An error in a run is logged with its traceback and the lane, and other ticks run."""
    assert line.ticks.take(Tick(Lane.JOBS, "bad", 0))
    wait_until(lambda: bool(caplog.records), "the error is logged")
    record = next(record for record in caplog.records if "event" in vars(record))
    assert (vars(record)["event"], vars(record)["fields"]) == ("lane.run_failed", {"lane": Lane.JOBS})
    assert record.exc_info
    assert line.ticks.take(Tick(Lane.JOBS, "good", 0))
    wait_until(lambda: line.ran == [(Lane.JOBS, "good")], "the next tick has run")
