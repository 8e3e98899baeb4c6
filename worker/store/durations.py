"""How long generations took, and the schedule of looks that follows from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from redis import RedisError

from worker.domain.durations import duration_group
from worker.domain.job import Job, Kind
from worker.domain.poll_schedule import Limits, Schedule, fixed, learn
from worker.store import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

LIFE_S = 30 * 86_400
"""How long durations are remembered after the last one."""

FRESH_S = 20.0
"""How long a schedule is used before the durations are read again."""

LATELY_S = 600.0
"""How long a family counts as one that this process works on, after it last read the durations."""


class Schedules:
    """The schedule of every family, learned from the durations of all workers; read again now and then."""

    def __init__(
        self, client: redis.Redis, clock: Callable[[], float], *, limits: dict[bool, Limits], learned: bool = True
    ) -> None:
        """Use one client.

        Args:
            client: of the ledger.
            clock: tells Redis' time, epoch seconds.
            limits: of trainings (True) and of everything else (False).
            learned: False keeps to the fixed interval.
        """
        self._client = client
        self._clock = clock
        self._limits = limits
        self._learned = learned
        self._known: dict[str, tuple[float, Schedule]] = {}

    def of(self, job: Job) -> Schedule:
        """Return when to look at a job."""
        name, now = duration_group(job), time.monotonic()
        read_at, schedule = self._known.get(name, (float("-inf"), None))
        if schedule is None or now - read_at > FRESH_S:
            schedule = self.read(name, training=job.kind is Kind.TRAINING)
            self._known[name] = now, schedule
        return schedule

    @property
    def limits(self) -> Limits:
        """Between what two looks at a job stay, and what they may cost."""
        return self._limits[False]

    @property
    def min_duration_s(self) -> float:
        """The age before which no job of the families that this process has seen lately is expected to end."""
        now = time.monotonic()
        lately = [schedule.min_duration_s for read_at, schedule in self._known.values() if now - read_at < LATELY_S]
        return min(lately, default=0.0)

    def read(self, name: str, *, training: bool) -> Schedule:
        """Return the schedule of a family as its durations have it now."""
        limits = self._limits[training]
        if not self._learned:
            return fixed(limits)
        try:
            history, since = self.history(name)
            known_for_s = self._clock() - since if since else 0.0
            return learn(history, limits, known_for_s=known_for_s)
        except RedisError:  # whoever asks is about to find that out by itself
            return fixed(limits)

    def history(self, name: str) -> tuple[dict[int, float], float | None]:
        """Return the weights by bin of a family's durations, and when the first was seen, epoch seconds."""
        found: Any = self._client.hgetall(keys.durations(name))
        weights = {int(number): float(weight) for number, weight in found.items() if number.isdigit()}
        return weights, float(found["since"]) if "since" in found else None

    def duration_groups(self) -> list[str]:
        """Return the names of all families that have durations."""
        prefix, suffix = keys.durations("\n").split("\n")
        found = self._client.scan_iter(match=f"{prefix}*{suffix}", count=1000)
        return sorted(str(name).removeprefix(prefix).removesuffix(suffix) for name in found)
