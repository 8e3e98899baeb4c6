"""The state of the whole service, read in one round trip: for metrics, and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.domain.data_loss import DataLoss
from worker.domain.lane import Lane
from worker.store.lanes import POLLED_LANES
from worker.store.totals import Totals, read_totals
from worker.store.workers import read_loss

if TYPE_CHECKING:
    from worker.store.scripts import Scripts

SEEN_S = 15.0
"""A worker counts as running for this long after its last sign of life, which comes every few seconds."""

ANSWER_MARGIN_S = 5.0
"""After the deadline of a call, a trigger without an answer counts as unresolved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneState:
    """The state of one lane."""

    #: Due, claimed and future members.
    members: int
    #: Members that are due and not claimed.
    due: int
    #: Due members that a further worker could run now: 0 while the lane is paused, at most the tokens of the rate.
    workable: int
    #: Seconds for which the oldest due member has waited for a claim; 0 while none is due.
    oldest_overdue_s: float
    #: When a worker last claimed, epoch seconds; 0 if never.
    last_tick_at: float
    #: Seconds until the pause of the lane ends; 0 without one.
    paused_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetState:
    """The whole service at one moment."""

    #: Redis' time, epoch seconds.
    at: float
    lanes: dict[Lane, LaneState]
    #: Jobs that wait for admission.
    queued: int
    #: Admitted jobs without a generation.
    admitted: int
    #: Triggers without a known answer for longer than a call may last; they may have been paid for.
    unresolved: int
    #: Seconds since the oldest of them; 0 without one.
    unresolved_oldest_s: float
    #: Dead letters.
    webhooks_dead: int
    #: Messages that could not be used.
    messages_rejected: int
    #: Jobs in the inbox that no worker has accepted yet.
    inbox_entries: int
    #: Seconds for which the oldest of them has waited; 0 without one.
    inbox_oldest_s: float
    #: Seconds since the last sign of life of each worker process of the last hour, by name.
    workers: dict[str, float]
    #: When a worker found this Redis without data and made its marker, epoch seconds; None if no worker has run.
    data_since: float | None
    #: The last loss of data that a worker noticed.
    data_loss: DataLoss | None
    totals: Totals

    @property
    def in_flight(self) -> int:
        """Generations and trainings that are polled."""
        return self.lanes[Lane.JOBS].members + self.lanes[Lane.MODELS].members

    @property
    def active(self) -> int:
        """Generations that count against the limit of active ones."""
        return self.admitted + self.lanes[Lane.JOBS].members

    @property
    def scheduled(self) -> int:
        """Jobs whose trigger is due later. Jobs that wait for admission stand in that lane too, at their deadline."""
        triggers = self.lanes[Lane.TRIGGERS]
        return max(0, triggers.members - triggers.due - self.queued)

    @property
    def webhooks_pending(self) -> int:
        """Webhooks that wait for an attempt."""
        return self.lanes[Lane.DELIVERIES].members + self.lanes[Lane.REDELIVERIES].members

    @property
    def running_workers(self) -> list[str]:
        """Names of the worker processes that run."""
        return sorted(name for name, age_s in self.workers.items() if age_s < SEEN_S)


class Fleet:
    """Reads the state of the service."""

    def __init__(self, scripts: Scripts, *, requests_per_s: float, unresolved_after_s: float) -> None:
        """Use the scripts of one client.

        Args:
            scripts: loaded with that client.
            requests_per_s: the request rate over all workers; 0 without a limit.
            unresolved_after_s: seconds after which a trigger without an answer counts as unresolved.
        """
        self._keys = scripts.keys
        self._scripts = scripts
        self._requests_per_s = requests_per_s
        self._unresolved_after_s = unresolved_after_s

    def read(self) -> FleetState:
        """Return the state of the service."""
        at, lanes, numbers, workers, data, totals = self._scripts.read_fleet(
            rate_bucket=self._keys.rate,
            queue=self._keys.queue,
            active=self._keys.active,
            intents=self._keys.intents,
            dead=self._keys.dead,
            rejected_count=self._keys.rejected_count,
            inbox=self._keys.inbox,
            workers=self._keys.workers,
            data=self._keys.data,
            totals=self._keys.totals,
            lanes_and_loops=[key for lane in Lane for key in (self._keys.lane(lane), self._keys.loop(lane))],
            rate=self._requests_per_s,
            unresolved_after=self._unresolved_after_s,
        )
        now = float(at)
        queued, admitted, unresolved, oldest_intent, dead, rejected, tokens, entries, first_entry = numbers
        return FleetState(
            at=now,
            lanes={lane: _lane_state(lane, row, now, tokens) for lane, row in zip(Lane, lanes, strict=True)},
            queued=queued,
            admitted=admitted,
            unresolved=unresolved,
            unresolved_oldest_s=now - float(oldest_intent) if unresolved else 0.0,
            webhooks_dead=dead,
            messages_rejected=int(rejected),
            inbox_entries=entries,
            inbox_oldest_s=max(0.0, now - int(first_entry.partition("-")[0]) / 1000) if first_entry else 0.0,
            workers={name: max(0.0, now - float(seen)) for name, seen in _pairs(workers)},
            data_since=float(data[0]) if data[0] else None,
            data_loss=read_loss(data[1:]),
            totals=read_totals(dict(_pairs(totals))),
        )


def _lane_state(lane: Lane, row: list[Any], now: float, tokens: str) -> LaneState:
    members, due, first_due, last_tick_at, paused_until = row
    paused_s = max(0.0, float(paused_until) - now)
    workable = 0 if paused_s else due
    if tokens and lane in POLLED_LANES:
        workable = min(workable, max(0, int(float(tokens))))
    return LaneState(
        members=members,
        due=due,
        workable=workable,
        oldest_overdue_s=max(0.0, now - float(first_due)) if due else 0.0,
        last_tick_at=float(last_tick_at),
        paused_s=paused_s,
    )


def _pairs(flat: list[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
