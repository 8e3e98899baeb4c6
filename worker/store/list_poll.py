"""The ledger of sweeps: what the list of jobs has shown, and what was learned of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.domain.list_poll import MIN_IN_FLIGHT, STALE_S, ListPollState
from worker.store import keys
from worker.store.keys import Lane
from worker.store.lanes import GAPS, Tick, TickPublisher

if TYPE_CHECKING:
    import redis

    from worker.store.scripts import Scripts

NAME = Lane.JOBS.value
"""The one member of the lane of sweeps: the lane whose members the list shows."""

FIELDS = tuple(field.name for field in fields(ListPollState))
"""What a `ListPollState` is read from, in the order in which claim.lua returns it."""

DRAWN = 256  # jobs whose age is looked up before a sweep
FRESH_S = 1.0  # how long a process believes what it has read of the last sweep


class Entry(NamedTuple):
    """What a page says of one generation."""

    generation_id: str
    #: `ended`, `put off`, `working` or `see`; see swept.lua.
    says: str
    #: Seconds, where it has ended and the list tells.
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageResult:
    """What became of one page."""

    ours: int
    forward: int
    confirmed: int
    lag_s: float
    #: When our side first had the answer of the entry at `place`, epoch seconds.
    submitted_at: float | None
    place: int
    #: How many more may get a look of their own although the list shows them.
    own: int
    #: Jobs that PhotoGPT works on, which the ledger does not know yet.
    running: list[str]


def decode(values: list[str | None]) -> ListPollState:
    """Return what is known of the list; the values stand in the order of `FIELDS`."""
    known = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
    whole = {"confirmed", "suspensions", "broken", "pages"}
    numbers: dict[str, Any] = {
        name: int(value) if name in whole else float(value) for name, value in known.items() if name != "id"
    }
    return ListPollState(id=known["id"], **numbers)


class ListPolls:
    """The ledger of sweeps. Every verb is one step, and safe to repeat."""

    def __init__(
        self, client: redis.Redis, scripts: Scripts, publish_tick: Callable[[Tick], None], *, requests_per_s: float
    ) -> None:
        """Use one client and its scripts; `requests_per_s` is the cap over all workers, 0 for none."""
        self._client = client
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._requests_per_s = requests_per_s
        self._read_at = float("-inf")
        self._known: ListPollState | None = None

    def ensure_scheduled(self) -> None:
        """Begin to ask whether a sweep is worth while, if enough is under way."""
        lane = Lane.LIST_POLLS
        answer = self._scripts.ensure_scheduled(
            keys=[keys.lane(lane), keys.loop(lane), keys.list_poll(NAME), keys.lane(Lane.JOBS)],
            args=[NAME, MIN_IN_FLIGHT, GAPS[lane]],
        )
        self._ticks.publish(lane, answer)

    def state(self) -> ListPollState | None:
        """Return what is known of the list, read a moment ago at most; None if nobody has ever swept."""
        now = time.monotonic()
        if now - self._read_at > FRESH_S:
            values: Any = self._client.hmget(keys.list_poll(NAME), list(FIELDS))
            self._known = decode(values) if values[0] is not None else None
            self._read_at = now
        return self._known

    def sample_ages(self) -> tuple[int, list[float]]:
        """Return how many jobs are under way, and the ages of some, seconds since PhotoGPT took them."""
        count, *ages = self._scripts.sample_ages(keys=[keys.lane(Lane.JOBS)], args=[keys.JOB, DRAWN])
        return int(count), [float(age) for age in ages]

    def take_rate_token(self) -> float:
        """Return the seconds to wait before one more request may be sent; 0 if it may be sent now."""
        if not self._requests_per_s:
            return 0.0
        return float(self._scripts.take_rate_token(keys=[keys.RATE], args=[self._requests_per_s]))

    def apply_page(self, entries: Iterable[Entry], *, asked_at: float, defer_s: float, own: int = 1) -> PageResult:
        """Take in one page.

        Args:
            entries: what it says.
            asked_at: when it was asked for, epoch seconds.
            defer_s: for how long what has not ended needs no look of its own.
            own: how many of those that are older than most get one nevertheless.
        """
        lane = Lane.JOBS
        rows = [(name, says, "" if took is None else f"{took:.3f}") for name, says, took in entries]
        answer = self._scripts.apply_page(
            keys=[keys.lane(lane), keys.loop(lane), keys.JOBS_BY_GENERATION, keys.ENDED],
            args=[
                keys.JOB,
                f"{asked_at:.6f}",
                f"{defer_s:.3f}",
                GAPS[lane],
                STALE_S,
                own,
                len(rows),
                *(text for row in rows for text in row),
            ],
        )
        arm, ours, forward, confirmed, lag, first, place, left, *running = answer
        self._ticks.publish(lane, arm)
        return PageResult(
            ours=ours,
            forward=forward,
            confirmed=confirmed,
            lag_s=float(lag),
            submitted_at=float(first) if first else None,
            place=place - 1,
            own=int(left),
            running=running,
        )

    def mark_started(self, known: ListPollState, *, at: float) -> None:
        """Write down that a sweep goes on: single looks make way for it."""
        told = {"at": at, "window_s": known.window_s, "seconds": known.seconds, "gap_s": known.gap_s}
        self._client.hset(keys.list_poll(NAME), mapping={name: str(value) for name, value in told.items()})

    def reschedule(self, learned: ListPollState, *, retry_in_s: float | None) -> None:
        """Write down what a sweep has learned; `retry_in_s` is in seconds, None until somebody stirs again."""
        lane = Lane.LIST_POLLS
        told = {name: value for name, value in asdict(learned).items() if value is not None and name != "at"}
        pairs = [text for name, value in told.items() for text in (name, str(value))]
        answer = self._scripts.reschedule_list_poll(
            keys=[keys.lane(lane), keys.loop(lane), keys.list_poll(NAME)],
            args=[NAME, "" if retry_in_s is None else f"{retry_in_s:.3f}", GAPS[lane], len(pairs), *pairs],
        )
        self._ticks.publish(lane, answer)
