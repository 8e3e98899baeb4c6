"""Lane monitor: every three seconds, sends missing tick messages, cancels revoked jobs and notices lost data.

It also moves the worker's threads to a free CPU. Its rounds begin with Celery's heartbeats: a thread that runs right
after another one finds the CPU's caches warm, which saves a third of the CPU of a round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from redis import RedisError

from config.celery import HEARTBEAT_S
from worker.domain.lane import Lane
from worker.domain.list_poll import MIN_IN_FLIGHT
from worker.domain.times import rfc3339
from worker.lanes.apply import start_list_polling
from worker.queue.one_cpu import OneCpu
from worker.queue.revocation import Revocations
from worker.services import Services
from worker.store.server import ServerFault
from worker.telemetry.health import health
from worker.telemetry.labels import LoopPart
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage
from worker.telemetry.shortage import is_shortage, resources

MAX_WAIT_S = HEARTBEAT_S + 0.5  # for a heartbeat: Celery sends none while its broker is away
STOP_S = 1.0  # for which a worker that stops waits for the thread


class LaneMonitor:
    """A thread in every worker process, so that no single process is needed to schedule the lanes."""

    def __init__(self, services: Services, redis_outage: Outage, name: str) -> None:
        """Prepare; `start` starts the thread. `name` is that of the worker process."""
        self._services = services
        self._name = name
        self._redis_outage = redis_outage
        self._revocations = Revocations(services)
        self._one_cpu = OneCpu() if services.settings.one_cpu else None
        self._stopping = False
        self._begin = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lane-monitor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end soon."""
        self._stopping = True
        self._begin.set()

    def begin_round(self) -> None:
        """Start the next round: Celery sends a heartbeat."""
        self._begin.set()

    def finish(self) -> None:
        """Stop, and let the calling thread run on each CPU again once the monitor moves it no more."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        if self._one_cpu:
            self._one_cpu.leave()

    def _run(self) -> None:
        health.beat(LoopPart.LANE_MONITOR)
        store = self._services.store
        # a script that is missing is loaded by its first call
        self._survive(store.load_scripts, self._mark_worker)
        self._survive(partial(store.lanes.ensure_ticks, again=True))  # a killed worker may hold the messages
        self._settle()
        while not self._is_stopped():
            self._settle()
            self.check()
        self._survive(self._forget_worker)

    def _is_stopped(self) -> bool:
        """Wait for the next round; return True if the worker stops instead."""
        self._begin.wait(MAX_WAIT_S)
        self._begin.clear()
        return self._stopping

    def _settle(self) -> None:
        if self._one_cpu:
            self._survive(self._one_cpu.settle)

    def check(self) -> None:
        """Check once. An unavailable Redis is reported; any other error is logged, and the thread goes on."""
        health.beat(LoopPart.LANE_MONITOR)
        self._survive(self._publish_missing_ticks, self._mark_worker, self._revocations.apply, self._check_recovery)

    def _survive(self, *steps: Callable[[], object]) -> None:
        try:
            for step in steps:
                step()
        except RedisError as error:
            self._redis_outage.report(error)
        except Exception as error:  # noqa: BLE001 - the thread must survive every error
            if is_shortage(error):
                resources.report(error)
                return
            event("lane_monitor.failed", "the check failed; the next one runs in three seconds", exc_info=True)

    def _publish_missing_ticks(self) -> None:
        store = self._services.store
        members = store.lanes.ensure_ticks()
        if members[Lane.JOBS] >= MIN_IN_FLIGHT and not members[Lane.LIST_POLLS]:
            start_list_polling(self._services)
        health.redis_answered()

    def _mark_worker(self) -> None:
        """Record that this worker runs, and report data that Redis has lost since the last time."""
        loss = self._services.store.workers.mark(self._name)
        if loss is None:
            return
        seen_at = rfc3339(loss.last_seen_at)
        event("redis.data_lost", str(loss), severe=True, last_seen_at=seen_at, in_flight=loss.in_flight)
        if loss.complete:
            self._register_account()

    def _register_account(self) -> None:
        """Register the account again, which is lost too, so that no worker of another account takes the namespace."""
        settings, server = self._services.settings, self._services.store.server
        try:
            server.check_account(settings.base_url, settings.api_key, replaces=settings.replace_account)
        except ServerFault as error:
            event("account.foreign", f"end this worker; one that starts with its settings ends: {error}", severe=True)

    def _forget_worker(self) -> None:
        self._services.store.workers.forget(self._name)

    def _check_recovery(self) -> None:
        """Report the end of an outage once Redis accepts a write; a replica or a full server answers reads."""
        if self._redis_outage.active:
            self._services.store.check_writes()
            self._redis_outage.resolve()
