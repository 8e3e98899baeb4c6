"""Telling of an outage in sentences: that it began, now and then that it lasts, and that it is over."""

from __future__ import annotations

import threading
import time
from typing import Any

from worker.telemetry.logs import event

REMIND_S = 60.0


class Outage:
    """What one caller knows of something that is away. Any thread may say so, as often as it likes."""

    def __init__(self, name: str, what: str, *, remind_s: float = REMIND_S, **fields: Any) -> None:
        """Tell under an event's name, with its fields, in sentences that begin with what is away."""
        self._name = name
        self._what = what
        self._remind_s = remind_s
        self._fields: dict[str, Any] = fields
        self._began = self._told = 0.0
        self._lock = threading.Lock()

    def report(self, why: object) -> None:
        """It is away: a line at first, and one a minute while it lasts."""
        now = time.monotonic()
        with self._lock:
            first = not self._began
            if not first and now - self._told < self._remind_s:
                return
            self._began, self._told = self._began or now, now
            lasted = now - self._began
        how = "tried again until it is back" if first else f"for {lasted:.0f} s now; still tried"
        event(self._name, f"{self._what}: {why}; {how}", warn=True, **self._fields)

    @property
    def active(self) -> bool:
        """Whether it was away when last heard of."""
        return bool(self._began)

    def resolve(self) -> None:
        """It is there; said once, after an outage."""
        if not self._began:
            return
        with self._lock:
            lasted, self._began = time.monotonic() - self._began, 0.0
        event(self._name, f"over after {lasted:.0f} s: work goes on", **self._fields)
