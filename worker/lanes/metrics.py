"""Serves metrics and probes of a worker process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from config.fields import split_address
from worker.domain.lane import Lane
from worker.telemetry import recorder
from worker.telemetry.health import health
from worker.telemetry.labels import LoopPart, PoolState
from worker.telemetry.listener import Listener, probe
from worker.telemetry.metrics import LOOP_AGE, POOL_THREADS, READY

if TYPE_CHECKING:
    from worker.lanes.runner import LaneRunner


def serve_worker(address: str, runner: Callable[[], LaneRunner | None]) -> Listener:
    """Start to record metrics, and serve /metrics, /live, /ready and /startup.

    Args:
        address: `host:port`.
        runner: returns the lane runner of the process once there is one.

    Raises:
        OSError: the address cannot be used.
    """
    from worker.telemetry.exposition import metrics_route  # noqa: PLC0415 - only where metrics are on

    routes = {"/live": probe(health.faults), "/ready": probe(health.unready), "/startup": probe(health.unstarted)}
    listener = Listener(*split_address(address), routes)
    listener.routes = routes | {"/metrics": metrics_route(recorder.start())}
    _read_gauges(runner)
    listener.start()
    return listener


def _read_gauges(runner: Callable[[], LaneRunner | None]) -> None:
    """Let the gauges read the state of the process at each scrape."""
    recorder.read_gauge(READY, lambda: not health.unready())
    for part in LoopPart:
        recorder.read_gauge(LOOP_AGE, partial(health.age_s, part), part)
    for lane, state in product(Lane, PoolState):
        recorder.read_gauge(POOL_THREADS, partial(_threads, runner, lane, state), lane, state)


def _threads(runner: Callable[[], LaneRunner | None], lane: Lane, state: PoolState) -> int:
    running = runner()
    return running.threads(lane)[state] if running else 0
