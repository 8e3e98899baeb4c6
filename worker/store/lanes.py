"""Lanes: sorted sets of ids by due time, each with a loop of ticks.

A tick makes a worker claim what is due in a lane. It is a Celery message, or runs in the worker that asked for it if it
is due soon. Each lane has a chain of ticks, one at a time: the token in the lane's hash decides which one may go on.
Every script that schedules something, and every worker every three seconds, makes sure that a tick is on its way
(`schedule_tick` in `lua/lib/prelude.lua`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.domain.job import Job, Kind
from worker.domain.lane import Lane
from worker.domain.times import rfc3339

if TYPE_CHECKING:
    import redis

    from worker.domain.decision import Reschedule
    from worker.store.scripts import Scripts

MIN_TICK_GAP_S = {
    Lane.TRIGGERS: 0.1,
    Lane.JOBS: 0.05,
    Lane.MODELS: 1.0,
    Lane.LIST_POLLS: 0.1,
    Lane.RESULTS: 0.25,
    Lane.DELIVERIES: 0,  # each webhook at once
    Lane.REDELIVERIES: 0.1,
    Lane.FILES: 0.1,
}
"""Seconds between two ticks of a lane; members that come due within them share a tick. A backlog does not wait."""

MAX_PAUSE_S = 60.0
"""Of a lane, even if PhotoGPT asks for more: no deadline in the lane is noticed during a pause."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Lets a lane run once it is due. Publishing it twice, or late, does no harm."""

    lane: Lane
    token: str
    #: Seconds.
    delay: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The records that a tick has claimed."""

    #: Redis' time at the claim, epoch seconds.
    at: float
    #: The values of the requested fields, for each record.
    records: list[list[str | None]]
    #: Seconds from the due time of the first member to the claim; None if none was claimed.
    late_s: float | None
    #: The tick that the lane needs next, which the caller publishes; None if one is on its way.
    next_tick: Tick | None
    #: On this process' monotonic clock: when another worker may claim the same members.
    lease_ends: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """What all workers together may ask of PhotoGPT; 0 means no limit."""

    active: int = 0
    requests_per_s: float = 0


POLLED_LANES = frozenset({Lane.TRIGGERS, Lane.JOBS, Lane.MODELS})
"""The lanes whose members cost PhotoGPT a request."""


def poll_lane(job: Job) -> Lane:
    """Return the lane in which a triggered job is polled."""
    return Lane.MODELS if job.kind is Kind.TRAINING else Lane.JOBS


def parse_tick(lane: Lane, answer: Any) -> Tick | None:
    """Return the tick that a script asked for, or None."""
    return Tick(lane, answer[0], float(answer[1])) if answer else None


def leave_to_lane_monitor(tick: Tick) -> None:
    """Publish nothing: the lane monitor of any running worker sends a missing tick within four seconds."""


class TickPublisher:
    """Publishes the ticks that scripts ask for."""

    def __init__(self, publish_tick: Callable[[Tick], None]) -> None:
        """Send through `publish_tick`, which must not raise when the broker is unavailable."""
        self._publish_tick = publish_tick

    def publish(self, lane: Lane, answer: Any) -> None:
        """Publish the tick in a script's answer, if there is one."""
        tick = parse_tick(lane, answer)
        if tick is not None:
            self._publish_tick(tick)


class Lanes:
    """Admits, claims and reschedules the members of lanes, and keeps their ticks going."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        caps: Caps,
        clock: Callable[[], float],
    ) -> None:
        """Use one client; `clock` returns Redis' time in epoch seconds."""
        self._client: Any = client
        self._keys = scripts.keys
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._caps = caps
        self._clock = clock

    def admit(self, max_admitted: int) -> int:
        """Admit queued jobs to their trigger while there is room; return how many were queued."""
        queued = self._scripts.admit(
            queue=self._keys.queue,
            triggers=self._keys.lane(Lane.TRIGGERS),
            triggers_loop=self._keys.loop(Lane.TRIGGERS),
            active=self._keys.active,
            tenants=self._keys.tenants,
            jobs=self._keys.lane(Lane.JOBS),
            max_active=self._caps.active,
            max_admitted=max_admitted,
        )
        return int(queued)

    def start(self, job: Job) -> None:
        """Start a job whose start time has come: it waits for admission from now on. A second call changes nothing."""
        at = self._clock()
        tick = self._scripts.start(
            job=self._keys.job(job.id),
            triggers=self._keys.lane(Lane.TRIGGERS),
            triggers_loop=self._keys.loop(Lane.TRIGGERS),
            queue=self._keys.queue,
            tenants=self._keys.tenants,
            id=job.id,
            tenant=job.tenant,
            timestamp=rfc3339(at),
            deadline_in=max(0.0, job.deadline_at - at),
            is_generation=job.kind is not Kind.TRAINING,
            gap=MIN_TICK_GAP_S[Lane.TRIGGERS],
        )
        self._ticks.publish(Lane.TRIGGERS, tick)

    def claim(  # noqa: PLR0913 - one script
        self, lane: Lane, token: str, *, limit: int, lease_s: float, pattern: str, fields: Iterable[str]
    ) -> Claim | None:
        """Claim up to `limit` due members for `lease_s` seconds; None if the token was used before.

        Args:
            lane: to claim from.
            token: of the tick message.
            limit: maximum number of members.
            lease_s: seconds after which they come due again, unless they are rescheduled or removed.
            pattern: of the keys of their records, with `keys.ID`.
            fields: to return of each record; the first must never be absent.
        """
        started = time.monotonic()
        answer = self._scripts.claim(
            lane=self._keys.lane(lane),
            loop=self._keys.loop(lane),
            rate_bucket=self._keys.rate,
            token=token,
            max_claimed=limit,
            lease=lease_s,
            gap=MIN_TICK_GAP_S[lane],
            rate=self._caps.requests_per_s if lane in POLLED_LANES else 0,
            record_pattern=pattern,
            fields=fields,
        )
        if answer[0] == "stale":
            return None
        _, at, tick, late, *records = answer
        return Claim(
            at=float(at),
            records=records,
            late_s=float(late) if late else None,
            next_tick=parse_tick(lane, tick),
            lease_ends=started + lease_s,
        )

    def repeat_tick(self, tick: Tick) -> bool:
        """Return whether a tick that came has to be sent again; False if one with its token has run."""
        return bool(self._scripts.repeat_tick(loop=self._keys.loop(tick.lane), token=tick.token))

    def reschedule(self, lane: Lane, waiting: list[tuple[Job, Reschedule]]) -> None:
        """Put claimed jobs back into their lane, each due after its own delay."""
        if not waiting:
            return
        rows: list[Any] = []
        for job, again in waiting:
            rows += [job.id, again.after, again.reason, again.error, again.polled, again.clear_intent, again.intent]
            rows.append(again.photogpt_status)
        tick = self._scripts.reschedule(
            lane=self._keys.lane(lane),
            loop=self._keys.loop(lane),
            intents=self._keys.intents,
            job_records=[self._keys.job(job.id) for job, _ in waiting],
            gap=MIN_TICK_GAP_S[lane],
            pause=min(MAX_PAUSE_S, max((again.after for _, again in waiting if again.pause_lane), default=0)),
            rows=rows,
        )
        self._ticks.publish(lane, tick)

    def requeue(self, refused: list[tuple[Job, Reschedule]]) -> None:
        """Put jobs that PhotoGPT had no room for back into the admission queue, and lower the cap."""
        if not refused:
            return
        at, rows = self._clock(), list[Any]()
        for job, again in refused:
            rows += [job.id, job.tenant, max(0.0, job.deadline_at - at), again.reason, again.error, again.intent]
        tick = self._scripts.requeue(
            queue=self._keys.queue,
            triggers=self._keys.lane(Lane.TRIGGERS),
            triggers_loop=self._keys.loop(Lane.TRIGGERS),
            active=self._keys.active,
            tenants=self._keys.tenants,
            intents=self._keys.intents,
            jobs=self._keys.lane(Lane.JOBS),
            job_records=[self._keys.job(job.id) for job, _ in refused],
            gap=MIN_TICK_GAP_S[Lane.TRIGGERS],
            pause=min(MAX_PAUSE_S, max(again.after for _, again in refused)),
            rows=rows,
        )
        self._ticks.publish(Lane.TRIGGERS, tick)

    def extend_lease(self, lane: Lane, member: str, lease_s: float) -> None:
        """Let a claimed member come due again only after `lease_s` more seconds, while its step makes progress."""
        self._scripts.extend_lease(lane=self._keys.lane(lane), member=member, lease=lease_s)

    def ensure_ticks(self, lanes: Iterable[Lane] = Lane, *, again: bool = False) -> dict[Lane, int]:
        """Publish the ticks that are missing; with `again`, also those that are on their way.

        Returns:
            The number of members of each lane.
        """
        asked = list(lanes)
        answers = self._scripts.ensure_ticks(
            queue=self._keys.queue,
            triggers=self._keys.lane(Lane.TRIGGERS),
            lanes=[key for lane in asked for key in (self._keys.lane(lane), self._keys.loop(lane))],
            again=again,
            gaps=[MIN_TICK_GAP_S[lane] for lane in asked],
        )
        sizes: dict[Lane, int] = {}
        for lane, (tick, sizes[lane]) in zip(asked, answers, strict=True):
            self._ticks.publish(lane, tick)
        return sizes

    def due(self, lane: Lane, member: str) -> float | None:
        """Return the seconds until a member comes due, below 0 if it is overdue; None if the lane does not have it."""
        answer = self._scripts.due_in(lane=self._keys.lane(lane), member=member)
        return None if answer is None else float(answer)

    def sizes(self) -> dict[Lane, int]:
        """Return the number of members of each lane."""
        pipeline = self._client.pipeline(transaction=False)
        for lane in Lane:
            pipeline.zcard(self._keys.lane(lane))
        return dict(zip(Lane, pipeline.execute(), strict=True))
