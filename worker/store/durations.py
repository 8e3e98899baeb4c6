"""The durations of generations in Redis, and the poll schedules that follow from them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis import RedisError

from worker.domain.durations import duration_group
from worker.domain.job import Job, Kind
from worker.domain.poll_schedule import Limits, Schedule, fixed, learn
from worker.store.keys import ID

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from worker.store.keys import Keys

RETENTION_S = 30 * 86_400
"""How long durations are kept after the last one."""

SCHEDULE_CACHE_S = 20.0
"""How long a process uses a schedule before it reads the durations again."""


MAX_SCHEDULES = 1000
"""Schedules that a process keeps; each model of the account has its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PollLimits:
    """Between which limits jobs are polled."""

    generations: Limits
    trainings: Limits


class Schedules:
    """The poll schedule of each duration group, computed from the durations that all workers have recorded."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        clock: Callable[[], float],
        *,
        limits: PollLimits,
        learned: bool = True,
    ) -> None:
        """Use one client.

        Args:
            client: of Redis.
            keys: of one namespace.
            clock: returns Redis' time in epoch seconds.
            limits: of the time between two polls.
            learned: False polls at the fixed interval.
        """
        self._client: Any = client
        self._keys = keys
        self._clock = clock
        self._limits = limits
        self._learned = learned
        self._cache: dict[str, tuple[float, Schedule]] = {}

    def of(self, job: Job) -> Schedule:
        """Return when to poll a job."""
        group, now = duration_group(job), time.monotonic()
        read_at, schedule = self._cache.get(group, (float("-inf"), None))
        if schedule is None or now - read_at > SCHEDULE_CACHE_S:
            schedule = self.read(group, training=job.kind is Kind.TRAINING)
            if len(self._cache) >= MAX_SCHEDULES:
                self._cache.clear()
            self._cache[group] = now, schedule
        return schedule

    def read(self, group: str, *, training: bool) -> Schedule:
        """Return the schedule of a group as its durations are now; the fixed one if Redis is unavailable."""
        limits = self._limits.trainings if training else self._limits.generations
        if not self._learned:
            return fixed(limits)
        try:
            history, since = self.history(group)
            known_for_s = self._clock() - since if since else 0.0
        except RedisError:  # the caller's next write reports it
            return fixed(limits)
        return learn(history, limits, known_for_s=known_for_s)

    def history(self, group: str) -> tuple[dict[int, float], float | None]:
        """Return the weights of a group's durations by bin, and when the first was recorded, epoch seconds."""
        found = self._client.hgetall(self._keys.durations(group))
        weights = {int(number): float(weight) for number, weight in found.items() if number.isdigit()}
        return weights, float(found["since"]) if "since" in found else None

    def duration_groups(self) -> list[str]:
        """Return the names of all groups that have durations."""
        prefix, suffix = self._keys.durations(ID).split(ID)
        found = self._client.scan_iter(match=f"{prefix}*{suffix}", count=1000)
        return sorted(str(name).removeprefix(prefix).removesuffix(suffix) for name in found)
