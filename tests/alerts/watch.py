"""Causes a fault, and watches which alerts fire and clear."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.alerts.faults import Fault
from tests.alerts.stage import Stage
from tests.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Seen:
    """What followed from a fault."""

    #: Alerts that fired at any time.
    fired: frozenset[str]
    #: Seconds from the fault to its alert.
    fired_after_s: float
    #: Seconds from the repair until nothing fired.
    cleared_after_s: float


def watch(stage: Stage, fault: Fault, *, within: float, clears: bool = True) -> Seen:
    """Begin a fault, wait for its alert, end the fault, and wait until no alert fires.

    Args:
        stage: nothing fires there yet.
        fault: what happens.
        within: seconds that each of the two waits may take.
        clears: wait until no alert fires.
    """
    fired: set[str] = set()

    def firing() -> set[str]:
        now = stage.firing()
        fired.update(now)
        return now

    wait_until(lambda: not stage.firing(), "nothing fires", within=within)
    began = time.monotonic()
    fault.begin(stage)
    try:
        wait_until(lambda: fault.alert in firing(), f"{fault.alert} fires; so far {fired}", within=within)
        alerted = time.monotonic()
    finally:
        fault.end(stage)
    repaired = time.monotonic()
    wait_until(lambda: not (clears and firing()), f"{fault.alert} clears", within=within)
    return Seen(frozenset(fired), alerted - began, time.monotonic() - repaired)
