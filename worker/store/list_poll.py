"""The list poll in Redis: what PhotoGPT's list of jobs shows, and what is known about that list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.domain.list_poll import MIN_IN_FLIGHT, STALE_S, ListPollState
from worker.store import keys
from worker.store.codec import pairs
from worker.store.keys import Lane
from worker.store.lanes import MIN_TICK_GAP_S, TickPublisher

if TYPE_CHECKING:
    import redis

    from worker.store.lanes import Tick
    from worker.store.scripts import Scripts

NAME = Lane.JOBS.value
"""The one member of the lane of list polls: the lane whose members the list shows."""

FIELDS = tuple(field.name for field in fields(ListPollState))
"""The fields of the state that `decode` needs, in its order."""

SAMPLE_SIZE = 256
"""Generations whose age is read before a list poll."""

STATE_CACHE_S = 1.0
"""How long a process uses a state before it reads it again."""


class Entry(NamedTuple):
    """One generation on a page of the list."""

    generation_id: str
    #: `ended`, `waiting`, `running`, or `ignored` (left to single polls).
    status: str
    #: Seconds that it took, if it has ended and the list shows that.
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageResult:
    """What followed from one page."""

    #: Entries that are generations of our jobs in flight.
    ours: int
    #: Jobs that were brought forward, to be polled singly now.
    forward: int
    #: Ends on the page that a single poll had shown before.
    confirmed: int
    #: Seconds by which the list lags behind single polls.
    lag_s: float
    #: When PhotoGPT accepted the entry at `index`, the first of ours, epoch seconds; None if there is none.
    submitted_at: float | None
    index: int
    #: Jobs older than their p95 that are polled singly now although the list shows them as under way.
    old_jobs: int
    #: Ids of jobs that the list shows as running and Redis as submitted.
    running: list[str]


def decode(values: list[str | None]) -> ListPollState:
    """Return the state of the list poll, given the values of `FIELDS`."""
    known = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
    whole = {field.name for field in fields(ListPollState) if field.type == "int"}
    numbers: dict[str, Any] = {
        name: int(value) if name in whole else float(value) for name, value in known.items() if name != "id"
    }
    return ListPollState(id=known["id"], **numbers)


class ListPolls:
    """Reads and writes the list poll. Each write is one step, and safe to repeat."""

    def __init__(
        self, client: redis.Redis, scripts: Scripts, publish_tick: Callable[[Tick], None], *, requests_per_s: float
    ) -> None:
        """Use one client; `requests_per_s` is the rate of all workers, 0 for no limit."""
        self._client: Any = client
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._requests_per_s = requests_per_s
        self._read_at = float("-inf")
        self._state: ListPollState | None = None

    def ensure_scheduled(self) -> None:
        """Schedule the list poll, unless it is scheduled, if enough generations are in flight."""
        tick = self._scripts.ensure_scheduled(
            lane=keys.lane(Lane.LIST_POLLS),
            loop=keys.loop(Lane.LIST_POLLS),
            list_poll=keys.list_poll(NAME),
            jobs=keys.lane(Lane.JOBS),
            name=NAME,
            min_in_flight=MIN_IN_FLIGHT,
            gap=MIN_TICK_GAP_S[Lane.LIST_POLLS],
        )
        self._ticks.publish(Lane.LIST_POLLS, tick)

    def state(self) -> ListPollState | None:
        """Return the state of the list poll, no older than a second; None before the first one."""
        now = time.monotonic()
        if now - self._read_at > STATE_CACHE_S:
            values = self._client.hmget(keys.list_poll(NAME), list(FIELDS))
            self._state = decode(values) if values[0] is not None else None
            self._read_at = now
        return self._state

    def sample_ages(self) -> tuple[int, list[float]]:
        """Return the number of generations in flight, and the ages of a random sample in seconds."""
        count, *ages = self._scripts.sample_ages(
            jobs=keys.lane(Lane.JOBS), job_prefix=keys.JOB, sample_size=SAMPLE_SIZE
        )
        return int(count), [float(age) for age in ages]

    def take_rate_token(self) -> float:
        """Return the seconds to wait before one more request may be sent; 0 if it may be sent now."""
        if not self._requests_per_s:
            return 0.0
        return float(self._scripts.take_rate_token(rate_bucket=keys.RATE, rate=self._requests_per_s))

    def apply_page(self, entries: Iterable[Entry], *, asked_at: float, defer_s: float, old_jobs: int = 1) -> PageResult:
        """Poll now what a page shows as ended, and defer the single polls of what has not.

        Args:
            entries: of the page.
            asked_at: when it was requested, epoch seconds.
            defer_s: seconds for which a job that has not ended is not polled singly.
            old_jobs: how many jobs older than their p95 may be polled singly all the same.
        """
        tick, ours, forward, confirmed, lag_s, first_at, first_index, left, *running = self._scripts.apply_page(
            jobs=keys.lane(Lane.JOBS),
            loop=keys.loop(Lane.JOBS),
            jobs_by_generation=keys.JOBS_BY_GENERATION,
            recently_ended=keys.RECENTLY_ENDED,
            job_prefix=keys.JOB,
            asked_at=asked_at,
            defer=defer_s,
            gap=MIN_TICK_GAP_S[Lane.JOBS],
            max_lag=STALE_S,
            old_jobs=old_jobs,
            entries=[value for entry in entries for value in entry],
        )
        self._ticks.publish(Lane.JOBS, tick)
        return PageResult(
            ours=ours,
            forward=forward,
            confirmed=confirmed,
            lag_s=float(lag_s),
            submitted_at=float(first_at) if first_at else None,
            index=first_index - 1,
            old_jobs=old_jobs - int(left),
            running=running,
        )

    def mark_started(self, planned: ListPollState, *, at: float) -> None:
        """Store that a list poll has started, so that new jobs wait for it instead of a single poll."""
        shown = {"at": at, "window_s": planned.window_s, "seconds": planned.seconds, "interval_s": planned.interval_s}
        self._client.hset(keys.list_poll(NAME), mapping={name: str(value) for name, value in shown.items()})

    def reschedule(self, measured: ListPollState, *, retry_in_s: float | None) -> None:
        """Store what a list poll has measured, and schedule the next one in `retry_in_s` seconds, or none."""
        stored = {name: str(value) for name, value in asdict(measured).items() if value is not None and name != "at"}
        tick = self._scripts.reschedule_list_poll(
            lane=keys.lane(Lane.LIST_POLLS),
            loop=keys.loop(Lane.LIST_POLLS),
            list_poll=keys.list_poll(NAME),
            name=NAME,
            delay=retry_in_s,
            gap=MIN_TICK_GAP_S[Lane.LIST_POLLS],
            fields=pairs(stored),
        )
        self._ticks.publish(Lane.LIST_POLLS, tick)
