"""Lanes: sorted sets of ids by due time, each with a loop that looks after them.

A loop is a chain of Celery messages, one at a time. The token in the lane's hash says which message may go on; whoever
parks something, and every worker about once a second, sees to it that one is on its way. See `lua/prelude.lua`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.store import keys
from worker.store.keys import Lane

if TYPE_CHECKING:
    import redis

    from worker.store.scripts import Scripts

GAPS = {
    Lane.TRIGGERS: 0.1,
    Lane.JOBS: 0.25,
    Lane.MODELS: 1.0,
    Lane.LIST_POLLS: 0.1,
    Lane.RESULTS: 0.25,
    Lane.DELIVERIES: 0.05,
    Lane.REDELIVERIES: 0.1,
}
"""Least seconds between two ticks of a lane: what comes due meanwhile shares one. A backlog waits for none."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick message that has to be sent. Sending it twice, or late, does no harm."""

    lane: Lane
    token: str
    delay: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a tick may look after, and until when."""

    #: Redis' time at the claim, epoch seconds.
    at: float
    #: The records, as the values of the fields that were asked for.
    records: list[list[str | None]]
    #: The tick that the lane needs next, which the caller sends or waits for itself; None if one is on its way.
    next_tick: Tick | None
    #: On this process' monotonic clock: when others may take the same members.
    lease_ends: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """What all workers together may ask of PhotoGPT. 0 means: no cap of ours."""

    active: int = 0
    requests_per_s: float = 0


ASKING = frozenset({Lane.TRIGGERS, Lane.JOBS, Lane.MODELS})
"""The lanes whose members cost PhotoGPT a request."""


def parse_tick(lane: Lane, answer: Any) -> Tick | None:
    """Return the tick message that a script asked for, or None."""
    return Tick(lane, answer[0], float(answer[1])) if answer else None


def leave_to_lane_monitor(tick: Tick) -> None:
    """Publish nothing: the lane monitor of any running worker sends a missing tick within about a second."""


class TickPublisher:
    """Publishes the tick messages that scripts ask for."""

    def __init__(self, publish_tick: Callable[[Tick], None]) -> None:
        """Send through `publish_tick`, which must not raise when the broker is unavailable."""
        self._publish_tick = publish_tick

    def publish(self, lane: Lane, answer: Any) -> None:
        """Publish the tick in a script's answer, if there is one."""
        tick = parse_tick(lane, answer)
        if tick is not None:
            self._publish_tick(tick)


class Lanes:
    """Claims and loops."""

    def __init__(
        self, client: redis.Redis, scripts: Scripts, publish_tick: Callable[[Tick], None], *, caps: Caps
    ) -> None:
        """Use one client and its scripts."""
        self._client = client
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._caps = caps
        #: Sends a tick message: the next one of a claim.
        self.publish = publish_tick

    def admit(self, most: int) -> int:
        """Let queued jobs be triggered as far as there is room; return how many waited."""
        queue = [keys.QUEUE, keys.lane(Lane.TRIGGERS), keys.loop(Lane.TRIGGERS), keys.ACTIVE, keys.TENANTS]
        queue += [keys.lane(Lane.JOBS)]
        return int(self._scripts.admit(keys=queue, args=[self._caps.active, most]))

    def claim(  # noqa: PLR0913 - one record of arguments for one script
        self, lane: Lane, token: str, *, limit: int, lease: float, prefix: str, fields: Iterable[str]
    ) -> Claim | None:
        """Take up to `limit` due members for `lease` seconds; None if the token was used before.

        Args:
            lane: where.
            token: what the message carried.
            limit: how many members at most.
            lease: seconds after which they come due again, unless somebody moved them.
            prefix: of the keys of their records.
            fields: wanted of each record; the first must never be absent.
        """
        started = time.monotonic()
        answer = self._scripts.claim(
            keys=[keys.lane(lane), keys.loop(lane), keys.RATE],
            args=[token, limit, lease, GAPS[lane], self._caps.requests_per_s if lane in ASKING else 0, prefix, *fields],
        )
        if answer[0] == "stale":
            return None
        _, at, arm, *records = answer
        return Claim(at=float(at), records=records, next_tick=parse_tick(lane, arm), lease_ends=started + lease)

    def ensure_ticks(self, lanes: Iterable[Lane] = Lane) -> None:
        """Publish the tick messages that are missing."""
        pipeline = self._client.pipeline(transaction=False)
        asked = list(lanes)
        for lane in asked:
            watched = [keys.lane(lane), keys.loop(lane), *([keys.QUEUE] if lane is Lane.TRIGGERS else [])]
            self._scripts.ensure_tick(keys=watched, args=[GAPS[lane]], client=pipeline)
        for lane, answer in zip(asked, pipeline.execute(), strict=True):
            self._ticks.publish(lane, answer)

    def due(self, lane: Lane, member: str) -> float | None:
        """Return the seconds until a member comes due, below 0 if it is overdue; None if it is not in the lane."""
        answer: Any = self._scripts.due_in(keys=[keys.lane(lane)], args=[member])
        return None if answer is None else float(answer)

    def sizes(self) -> dict[Lane, int]:
        """Return how many members each lane has."""
        pipeline = self._client.pipeline(transaction=False)
        for lane in Lane:
            pipeline.zcard(keys.lane(lane))
        return dict(zip(Lane, pipeline.execute(), strict=True))
