"""The exporter: totals and the state of the fleet for Prometheus, read at each scrape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import product
from typing import Any, Generic, TypeVar

from celery import Celery
from prometheus_client.registry import Collector

from config.settings import Settings
from worker.domain.job import JobState, Kind
from worker.domain.reason import Reason
from worker.queue.backlog import Backlog, read_backlog
from worker.store.fleet import FleetState
from worker.store.store import Store
from worker.telemetry import metrics
from worker.telemetry.exposition import Samples, families
from worker.telemetry.labels import EndpointState, WebhookEnd
from worker.telemetry.logs import EventName
from worker.telemetry.outage import Outage

T = TypeVar("T")

ANSWER_S = 4.0
"""Seconds to wait for a server; Prometheus gives a scrape ten by default."""

ENDPOINTS_EVERY_S = 60.0
MAX_ENDPOINTS = 1000

ENDS: tuple[tuple[JobState, str], ...] = (
    (JobState.SUCCEEDED, metrics.NO_REASON),
    (JobState.EXPIRED, Reason.DEADLINE_EXCEEDED),
    (JobState.CANCELED, Reason.CANCELED),
    *((JobState.FAILED, reason) for reason in Reason if reason not in {Reason.DEADLINE_EXCEEDED, Reason.CANCELED}),
)
"""The ends of a job that can be expected: their counters begin at 0, so that the first event is an increase."""


class Reader(Generic[T]):
    """Reads a server with a limit on the time that a scrape waits; a read that lasts longer goes on."""

    def __init__(self, read: Callable[[], T], outage: Outage) -> None:
        """Read with `read`, which may raise anything; `outage` logs its failures."""
        self._read = read
        self._outage = outage
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._running: Future[T] | None = None

    def begin(self) -> None:
        """Start to read, unless an earlier read goes on. What an earlier one has found since is out of date."""
        if self._running is None or self._running.done():
            self._running = self._executor.submit(self._read)

    def result(self, *, ends_at: float) -> T | None:
        """Return what was read, or None if that failed or is not there at `ends_at`, monotonic seconds."""
        running = self._running
        if running is None or not wait([running], max(0.0, ends_at - time.monotonic())).done:
            self._outage.report("no answer in time")
            return None
        if error := running.exception():
            self._outage.report(error)
            return None
        self._outage.resolve()
        return running.result()


class FleetCollector(Collector):
    """Reads Redis and the broker at each scrape."""

    def __init__(self, settings: Settings, store: Store, app: Celery) -> None:
        """Use the clients of the process."""
        redis_outage = _outage("redis.unavailable", "redis.recovered", "Redis")
        broker_outage = _outage("broker.unavailable", "broker.recovered", "the broker")
        self._fleet = Reader(store.fleet.read, redis_outage)
        self._endpoint_states = Reader(lambda: store.endpoints.count_states(MAX_ENDPOINTS), redis_outage)
        self._backlog = Reader(lambda: read_backlog(app, settings), broker_outage)
        self._endpoints: Mapping[str, int] = {}
        self._endpoints_read_at = float("-inf")

    def describe(self) -> Iterable[Any]:
        """Return nothing: registering must not read."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield totals, fleet and broker; what a server does not answer is absent."""
        ends_at = time.monotonic() + ANSWER_S
        self._fleet.begin()
        self._backlog.begin()
        state, backlog = self._fleet.result(ends_at=ends_at), self._backlog.result(ends_at=ends_at)
        samples: Samples = {(metrics.REDIS_UP, ()): state is not None, (metrics.BROKER_UP, ()): backlog is not None}
        if state is not None:
            samples |= total_samples(state) | fleet_samples(state) | self._endpoint_samples(ends_at)
        if backlog is not None:
            samples |= broker_samples(backlog)
        yield from families(samples)

    def _endpoint_samples(self, ends_at: float) -> Samples:
        now = time.monotonic()
        if now - self._endpoints_read_at > ENDPOINTS_EVERY_S:
            self._endpoints_read_at = now
            self._endpoint_states.begin()
            self._endpoints = self._endpoint_states.result(ends_at=ends_at) or self._endpoints
        return {(metrics.ENDPOINTS, (state,)): self._endpoints.get(state, 0) for state in EndpointState}


def total_samples(state: FleetState) -> Samples:
    """Return the totals; those that nothing has raised yet are 0."""
    samples: Samples = {(metrics.JOBS_ACCEPTED, (kind,)): 0 for kind in Kind}
    samples |= {(metrics.JOBS_ENDED, (kind, *end)): 0 for kind, end in product(Kind, ENDS)}
    samples |= {(metrics.WEBHOOKS_ENDED, (end,)): 0 for end in WebhookEnd}
    return samples | state.totals


def fleet_samples(state: FleetState) -> Samples:
    """Return the state of lanes, jobs, webhooks and workers."""
    samples: Samples = {
        (metrics.WORKERS, ()): len(state.running_workers),
        (metrics.DATA_LOST, ()): state.data_loss.noticed_at if state.data_loss else 0,
        (metrics.INBOX_ENTRIES, ()): state.inbox_entries,
        (metrics.INBOX_OLDEST, ()): state.inbox_oldest_s,
        (metrics.JOBS_IN_FLIGHT, ()): state.in_flight,
        (metrics.JOBS_ACTIVE, ()): state.active,
        (metrics.JOBS_QUEUED, ()): state.queued,
        (metrics.JOBS_SCHEDULED, ()): state.scheduled,
        (metrics.TRIGGERS_UNRESOLVED, ()): state.unresolved,
        (metrics.UNRESOLVED_OLDEST, ()): state.unresolved_oldest_s,
        (metrics.MESSAGES_REJECTED, ()): state.messages_rejected,
        (metrics.WEBHOOKS_PENDING, ()): state.webhooks_pending,
        (metrics.WEBHOOKS_DEAD, ()): state.webhooks_dead,
    }
    for lane, found in state.lanes.items():
        samples |= {
            (metrics.LANE_MEMBERS, (lane,)): found.members,
            (metrics.LANE_DUE, (lane,)): found.due,
            (metrics.LANE_WORKABLE, (lane,)): found.workable,
            (metrics.LANE_OVERDUE, (lane,)): found.oldest_overdue_s,
            (metrics.LANE_LAST_TICK, (lane,)): found.last_tick_at,
            (metrics.LANE_PAUSED, (lane,)): found.paused_s > 0,
        }
    return samples


def broker_samples(backlog: Backlog) -> Samples:
    """Return the messages in the broker."""
    samples: Samples = {(metrics.BROKER_MESSAGES, (queue,)): count for queue, count in backlog.waiting.items()}
    return samples if backlog.unacked is None else samples | {(metrics.BROKER_UNACKED, ()): backlog.unacked}


def _outage(began: EventName, ended: EventName, server: str) -> Outage:
    message, recovered = f"{server} is unavailable; its metrics are absent", f"{server} is back"
    return Outage(began, ended, message=message, recovered=recovered)
