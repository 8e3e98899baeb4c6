"""Logs an outage as a few lines: when it begins, once a minute while it lasts, and when it is over."""

from __future__ import annotations

import threading
import time
from typing import Any

from worker.telemetry.error_text import error_text
from worker.telemetry.logs import EventName, event

REMIND_S = 60.0


class Outage:
    """The state of one dependency as one caller sees it. Any thread may report, as often as it likes."""

    def __init__(  # noqa: PLR0913 - what a line says, and when
        self,
        began: EventName,
        ended: EventName,
        *,
        message: str,
        recovered: str,
        remind_s: float = REMIND_S,
        quiet_s: float = 0.0,
        **fields: Any,
    ) -> None:
        """Name the events and their messages.

        Args:
            began: event of the first line and of the reminders.
            ended: event of the last line.
            message: what does not work, and what the worker does until it works again.
            recovered: what works again; the duration follows.
            remind_s: seconds between two reminders.
            quiet_s: seconds without a report after which `resolve` ends the outage.
            fields: of every line.
        """
        self._began_event = began
        self._ended_event = ended
        self._message = message
        self._recovered = recovered
        self._remind_s = remind_s
        self._quiet_s = quiet_s
        self._fields = fields
        self._began_at = self._logged_at = self._reported_at = self._resolved_at = 0.0
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether the last report was not followed by `resolve`."""
        return bool(self._began_at)

    @property
    def lasts_s(self) -> float:
        """Seconds since the outage began; 0 without one."""
        began_at = self._began_at
        return time.monotonic() - began_at if began_at else 0.0

    def report(self, error: object, *, began_at: float | None = None) -> None:
        """Record a failure: logged if it is the first, or if the last line is `remind_s` old.

        Args:
            error: what failed.
            began_at: when the failed call began, by the monotonic clock; one before the end of the outage says nothing.
        """
        if began_at is not None and began_at < self._resolved_at:
            return
        self._reported_at = now = time.monotonic()
        with self._lock:
            if self._began_at and now - self._logged_at < self._remind_s:
                return
            self._began_at, self._logged_at = self._began_at or now, now
            outage_s = round(now - self._began_at)
        event(
            self._began_event,
            f"{self._message}: {error_text(error)}",
            warn=True,
            outage_s=outage_s or None,
            **self._fields,
        )

    def resolve(self) -> None:
        """Record a success; logged if it ends an outage."""
        self._resolved_at = time.monotonic()
        if not self._began_at or time.monotonic() - self._reported_at < self._quiet_s:
            return
        with self._lock:
            if not self._began_at:  # another thread was first
                return
            outage_s, self._began_at = round(time.monotonic() - self._began_at), 0.0
        event(self._ended_event, f"{self._recovered} after {outage_s} s", outage_s=outage_s, **self._fields)
