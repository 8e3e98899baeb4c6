"""Redis' clock, by which every worker measures time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis


class ServerClock:
    """Redis' clock: read once a minute, and advanced by the process' monotonic clock in between."""

    def __init__(self, client: redis.Redis, *, refresh_s: float = 60) -> None:
        """Read the time at the first call, and again every `refresh_s` seconds."""
        self._client = client
        self._refresh_s = refresh_s
        self._offset = 0.0
        self._asked = float("-inf")

    def __call__(self) -> float:
        """Return epoch seconds."""
        now = time.monotonic()
        if now - self._asked > self._refresh_s:
            seconds, microseconds = self._client.time()
            now = time.monotonic()
            self._offset = seconds + microseconds / 1e6 - now
            self._asked = now
        return now + self._offset
