"""Whether this worker process lives and is ready, by what its loops report. An answer waits for no server."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.telemetry.labels import LoopPart

MAX_LOOP_AGE_S = 60.0
"""A loop that has not gone round for this long, while Redis and the broker answer, stands still."""

MAX_REDIS_SILENCE_S = 30.0
"""A worker is not ready if Redis has not answered for this long."""


class Health:
    """What the loops of one process report. Any thread may call any method."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has started; `clock` returns monotonic seconds."""
        self._clock = clock
        self._beats: dict[LoopPart, float] = {}
        self._redis_answered_at = float("-inf")
        self._silent_at = float("-inf")
        #: The worker has once been ready to take messages.
        self.started = False
        #: The consumer is connected to the broker and takes messages.
        self.consuming = False
        #: The worker shuts down: its loops end.
        self.stopping = False

    def beat(self, part: LoopPart) -> None:
        """Report that a loop goes round. A loop that waits for a server reports each attempt."""
        self._beats[part] = self._clock()

    def redis_answered(self) -> None:
        """Report that Redis has answered."""
        self._redis_answered_at = self._clock()

    def server_silent(self) -> None:
        """Report that Redis or the broker does not answer: until now, a loop may have waited for it."""
        self._silent_at = self._clock()

    def slowest_s(self) -> float:
        """Return the seconds since the slowest loop last reported."""
        return max(self.age_s(part) for part in LoopPart)

    def age_s(self, part: LoopPart) -> float:
        """Return the seconds since a loop last reported; 0 before it begins."""
        now = self._clock()
        return now - self._beats.get(part, now)

    def faults(self) -> list[str]:
        """Return why the process has to be restarted, a sentence each; empty while it lives."""
        if self.stopping:
            return []
        answered_s = self._clock() - self._silent_at  # a loop has this long to go on after an outage
        ages = {part: min(self.age_s(part), answered_s) for part in LoopPart}
        return [f"the {part} stands still for {age:.0f} s" for part, age in ages.items() if age > MAX_LOOP_AGE_S]

    def unready(self) -> list[str]:
        """Return why the worker takes no work at the moment, a sentence each; empty if it is ready."""
        found = self.faults()
        if self.stopping:
            found.append("the worker stops")
        elif not self.consuming:
            found.append("the worker is not connected to the broker")
        silence_s = self._clock() - self._redis_answered_at
        if self.started and silence_s > MAX_REDIS_SILENCE_S:
            found.append(f"Redis has not answered for {silence_s:.0f} s")
        return found

    def unstarted(self) -> list[str]:
        """Return a sentence until the consumer has begun to connect; from then on, a server may delay the rest."""
        return [] if LoopPart.CONSUMER in self._beats else ["the worker starts"]


health = Health()
"""The health of this process."""
