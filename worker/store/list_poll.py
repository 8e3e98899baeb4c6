"""The list poll in Redis: what PhotoGPT's list of jobs shows, and what is known about that list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.domain.lane import Lane
from worker.domain.list_poll import MIN_IN_FLIGHT, ListPollState
from worker.store import codec
from worker.store.codec import pairs
from worker.store.keys import ID
from worker.store.lanes import MIN_TICK_GAP_S, TickPublisher

if TYPE_CHECKING:
    import redis

    from worker.domain.job import Job
    from worker.store.lanes import Tick
    from worker.store.scripts import Scripts

NAME = Lane.JOBS.value  # the one member of the lane of list polls: the lane whose members the list shows
FIELDS = tuple(field.name for field in fields(ListPollState))  # that `decode` needs, in its order
SAMPLE_SIZE = 256  # generations whose age is read before a list poll
STATE_CACHE_S = 1.0  # for which a process uses a state before it reads it again


class ListedGeneration(NamedTuple):
    """One generation on a page of the list."""

    generation_id: str
    #: `ended`, or PhotoGPT's own word for one that has not.
    status: str
    #: Seconds that it took, if it has ended and the list shows that.
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InFlight:
    """The generations in flight."""

    in_flight: int
    #: Of a random sample, seconds.
    ages: list[float]
    #: PhotoGPT has answered 429 to a trigger lately.
    throttled: bool
    #: Ends that single polls have shown lately, by generation: epoch seconds.
    recently_ended: dict[str, float]


def decode(values: list[str | None]) -> ListPollState:
    """Return the state of the list poll, given the values of `FIELDS`."""
    known = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
    whole = {field.name for field in fields(ListPollState) if field.type == "int"}
    numbers: dict[str, Any] = {name: (int if name in whole else float)(known[name]) for name in known if name != "id"}
    return ListPollState(id=known["id"], **numbers)


class ListPolls:
    """Reads and writes the list poll. Each write is one step, and safe to repeat."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        requests_per_s: float,
    ) -> None:
        """Use one client; `requests_per_s` is the rate of all workers, 0 for no limit."""
        self._client: Any = client
        self._keys = scripts.keys
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._requests_per_s = requests_per_s
        self._read_at = float("-inf")
        self._state: ListPollState | None = None

    def ensure_scheduled(self, *, delay_s: float) -> None:
        """Schedule the list poll in `delay_s` seconds, unless it is scheduled, if enough generations are in flight."""
        tick = self._scripts.ensure_scheduled(
            lane=self._keys.lane(Lane.LIST_POLLS),
            loop=self._keys.loop(Lane.LIST_POLLS),
            list_poll=self._keys.list_poll(NAME),
            jobs=self._keys.lane(Lane.JOBS),
            name=NAME,
            min_in_flight=MIN_IN_FLIGHT,
            delay=delay_s,
            gap=MIN_TICK_GAP_S[Lane.LIST_POLLS],
        )
        self._ticks.publish(Lane.LIST_POLLS, tick)

    def state(self) -> ListPollState | None:
        """Return the state of the list poll, no older than a second; None before the first one."""
        now = time.monotonic()
        if now - self._read_at > STATE_CACHE_S:
            values = self._client.hmget(self._keys.list_poll(NAME), list(FIELDS))
            self._state = decode(values) if values[0] is not None else None
            self._read_at = now
        return self._state

    def in_flight(self) -> InFlight:
        """Return the generations in flight, and those that have ended lately."""
        count, throttled, ages, ended = self._scripts.sample_in_flight(
            jobs=self._keys.lane(Lane.JOBS),
            triggers_loop=self._keys.loop(Lane.TRIGGERS),
            recently_ended=self._keys.recently_ended,
            job_pattern=self._keys.job(ID),
            sample_size=SAMPLE_SIZE,
        )
        return InFlight(
            in_flight=int(count),
            ages=[float(age) for age in ages],
            throttled=bool(throttled),
            recently_ended=dict(zip(ended[::2], map(float, ended[1::2]), strict=True)),
        )

    def take_rate_token(self) -> float:
        """Return the seconds to wait before one more request may be sent; 0 if it may be sent now."""
        if not self._requests_per_s:
            return 0.0
        return float(self._scripts.take_rate_token(rate_bucket=self._keys.rate, rate=self._requests_per_s))

    def apply_page(self, entries: Iterable[ListedGeneration], *, defer_s: float) -> tuple[int, list[Job]]:
        """Poll now what a page shows as ended, and defer the single polls of what has not.

        Args:
            entries: of the page; those of other users are ignored.
            defer_s: seconds for which a job that has not ended is not polled singly.

        Returns:
            The number of jobs to be polled now, and the jobs that the list shows as running and Redis as submitted.
        """
        tick, ended, *running = self._scripts.apply_page(
            jobs=self._keys.lane(Lane.JOBS),
            loop=self._keys.loop(Lane.JOBS),
            jobs_by_generation=self._keys.jobs_by_generation,
            job_pattern=self._keys.job(ID),
            defer=defer_s,
            gap=MIN_TICK_GAP_S[Lane.JOBS],
            entries=[value for entry in entries for value in entry],
            fields=codec.FIELDS,
        )
        self._ticks.publish(Lane.JOBS, tick)
        return int(ended), [codec.decode(values) for values in running]

    def resume_single_polls(self, within_s: float, *, interval_s: float) -> None:
        """Poll deferred jobs in `within_s` seconds at most, or `interval_s` after their last single poll if later."""
        tick = self._scripts.resume_single_polls(
            jobs=self._keys.lane(Lane.JOBS),
            loop=self._keys.loop(Lane.JOBS),
            job_pattern=self._keys.job(ID),
            within=within_s,
            interval=interval_s,
            gap=MIN_TICK_GAP_S[Lane.JOBS],
        )
        self._ticks.publish(Lane.JOBS, tick)

    def reschedule(self, measured: ListPollState, *, retry_in_s: float | None) -> None:
        """Store what a list poll has measured, and schedule the next one in `retry_in_s` seconds, or none."""
        stored = {name: str(value) for name, value in asdict(measured).items() if value is not None and name != "at"}
        tick = self._scripts.reschedule_list_poll(
            lane=self._keys.lane(Lane.LIST_POLLS),
            loop=self._keys.loop(Lane.LIST_POLLS),
            list_poll=self._keys.list_poll(NAME),
            name=NAME,
            delay=retry_in_s,
            gap=MIN_TICK_GAP_S[Lane.LIST_POLLS],
            fields=pairs(stored),
        )
        self._ticks.publish(Lane.LIST_POLLS, tick)
