"""The loop of every lane: claim what is due, run the lane's step for each item, apply the decisions.

The Celery tasks `trigger`, `poll`, `publish`, `deliver` and `store_files` run it, each for the lane that its message
names; a tick that is due soon runs it without a message (`worker/lanes/ticks.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from redis import RedisError

from worker.domain.decision import Reschedule
from worker.domain.delivery import Delivery
from worker.domain.job import Job
from worker.domain.lane import Lane
from worker.lanes.apply import apply, reschedule
from worker.lanes.faults import count_fault
from worker.lanes.handlers import JOB, LANE_HANDLERS
from worker.lanes.pool import LanePool
from worker.lanes.ticks import LocalTicks
from worker.services import Services
from worker.store import codec
from worker.store.connection import is_unavailable
from worker.store.keys import ID
from worker.store.lanes import Claim, Tick
from worker.telemetry import recorder
from worker.telemetry.labels import PoolState
from worker.telemetry.logs import event
from worker.telemetry.metrics import LANE_LATENESS
from worker.telemetry.outage import Outage
from worker.telemetry.shortage import is_shortage, resources
from worker.telemetry.trace_context import in_trace

MAX_CLAIM = 128  # items of one claim
ADMIT_LIMIT = 256  # queued jobs that one run admits to the trigger lane
LEASE_MARGIN_S = 5.0  # of a lease beyond the time that a step may take
SHORTAGE_RETRY_S = 2.0  # after a step for which this worker had no open file, thread or memory
BUSY_WAIT_S = 0.05  # for a free slot
BUSY_RETRY_S = 0.25  # a lane without a free slot here is tried again after this long, by this worker or another


class LaneRunner:
    """Runs the lanes of one process. Each lane has threads of its own, so that none delays another."""

    def __init__(self, services: Services) -> None:
        """Use the process' clients; `start` starts the threads."""
        self._services = services
        size = services.settings.call_concurrency
        self._pools = {
            lane: LanePool(lane.value, min(size, handler.concurrency or size), partial(self._reschedule, lane))
            for lane, handler in LANE_HANDLERS.items()
        }
        self.ticks = LocalTicks(self.run, services.publisher.send_tick, services.stopping)
        self._outages = {
            lane: Outage(
                "redis.unavailable",
                "redis.recovered",
                message="Redis is unavailable; other workers or later ticks take over what was claimed",
                recovered="Redis is back",
                lane=lane.value,
            )
            for lane in Lane
        }

    def start(self) -> None:
        """Start the threads that each lane needs at least.

        Raises:
            RuntimeError: no thread can start.
        """
        self.ticks.start()
        for pool in self._pools.values():
            pool.start()

    def run(self, lane: Lane, token: str) -> None:
        """Claim what is due in a lane and start its steps. A token that was used before does nothing.

        Args:
            lane: which.
            token: of the tick; it lets one run claim, however often the tick comes.
        """
        pool, publisher = self._pools[lane], self._services.publisher
        slots = pool.acquire_slots(MAX_CLAIM, wait_s=BUSY_WAIT_S)
        if not slots:
            self._send_later(Tick(lane, token, BUSY_RETRY_S))
            return
        claim, claimed = None, 0
        try:
            with self._outage_reported(lane):
                claim = self._claim(lane, token, slots)
                claimed = len(claim.records) if claim else 0
        finally:
            pool.release_slots(slots - claimed)
        if claim is None or claim.next_tick is None:
            return
        if claimed < slots:
            publisher.publish_tick(claim.next_tick)
        else:  # a backlog, for any worker with a free slot
            publisher.send_tick(claim.next_tick)

    def threads(self, lane: Lane) -> dict[PoolState, int]:
        """Return how many slots of a lane are busy and free."""
        pool = self._pools[lane]
        return {PoolState.FREE: pool.free_slots, PoolState.BUSY: pool.busy_slots}

    def close(self) -> None:
        """Finish the steps in progress and write their decisions."""
        self.ticks.close()
        for pool in self._pools.values():
            pool.close()

    def _send_later(self, tick: Tick) -> None:
        """Send a tick again, unless a copy of it has run: copies would add up while the lane stays busy."""
        with self._outage_reported(tick.lane):
            if self._services.store.lanes.repeat_tick(tick):
                self._services.publisher.send_tick(tick)

    @contextmanager
    def _outage_reported(self, lane: Lane) -> Iterator[None]:
        """Report an outage of Redis that ends the block; raise every other error."""
        try:
            yield
        except RedisError as error:
            if not is_unavailable(error):
                raise
            self._outages[lane].report(error)

    def _claim(self, lane: Lane, token: str, limit: int) -> Claim | None:
        """Claim up to `limit` items and submit a step for each; None if the token was used before."""
        handler, lanes = LANE_HANDLERS[lane], self._services.store.lanes
        max_step_s = handler.max_step_s(self._services.settings)
        if lane is Lane.TRIGGERS:
            lanes.admit(ADMIT_LIMIT)
        record = handler.record
        claim = lanes.claim(
            lane,
            token,
            limit=limit,
            lease_s=max_step_s + LEASE_MARGIN_S,
            pattern=record.key(self._services.store.keys, ID),
            fields=record.fields,
        )
        if claim is not None:
            self._outages[lane].resolve()
            if claim.late_s is not None:
                recorder.observe(LANE_LATENESS, claim.late_s, lane)
            start_before = claim.lease_ends - max_step_s
            for values in claim.records:
                self._pools[lane].submit(partial(self._run_step, lane, values, start_before))
        return claim

    def _run_step(self, lane: Lane, values: list[str | None], start_before: float) -> tuple[Job, Reschedule] | None:
        """Run one step and apply its decision; return a job that has to be rescheduled.

        A step whose time does not fit into the lease does not begin: the item comes due again when the lease ends.
        """
        if time.monotonic() > start_before:
            return None
        handler, services = LANE_HANDLERS[lane], self._services
        try:
            item = handler.record.decode(values)
            if services.stopping.is_set() and isinstance(item, Job):
                # due at once, so that another worker takes it
                return item, Reschedule(after=0, reason=item.reason, error=item.error)
            at = services.store.clock()
            with _trace_of(item, at):
                decision = handler.step(services, item, at)
                resources.resolve()
                return apply(services, item, decision) if decision is not None else None
        except Exception as error:  # noqa: BLE001 - one bad record must not stop its lane
            return self._on_step_error(lane, values, error)

    def _on_step_error(self, lane: Lane, values: list[str | None], error: Exception) -> tuple[Job, Reschedule] | None:
        """Report an outage of Redis, which is no fault of the item; count every other error against its job."""
        if is_shortage(error):
            resources.report(error)
            return self._retry_later(lane, values)
        if not (isinstance(error, RedisError) and is_unavailable(error)):
            event("step.failed", f"a step of the lane {lane} raised", exc_info=True, lane=lane.value, id=values[0])
            try:
                return count_fault(self._services, lane, values, error) if LANE_HANDLERS[lane].record is JOB else None
            except RedisError as unavailable:
                error = unavailable
        self._outages[lane].report(error)
        return None

    def _retry_later(self, lane: Lane, values: list[str | None]) -> tuple[Job, Reschedule] | None:
        """Reschedule a job whose step this worker lacks the means for; anything else comes due when its lease ends."""
        if LANE_HANDLERS[lane].record is not JOB:
            return None
        job = codec.decode(values)
        return job, Reschedule(after=SHORTAGE_RETRY_S, reason=job.reason, error=job.error)

    def _reschedule(self, lane: Lane, batch: list[tuple[Job, Reschedule]]) -> None:
        with self._outage_reported(lane):
            reschedule(self._services, lane, batch)


def _trace_of(item: object, at: float) -> AbstractContextManager[None]:
    """Return the trace in which an item's step runs: that of its job. A list poll has none."""
    if isinstance(item, Job | Delivery):
        return in_trace(item.traceparent, age_s=at - item.created_at)
    return nullcontext()
