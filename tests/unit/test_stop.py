"""What a worker does at the signals that stop it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from worker.queue import app
from worker.telemetry.health import Health


class Interrupted:
    """A monitor whose `stop` is interrupted by a second signal."""

    stops = 0

    def stop(self) -> None:
        """Count the call, and get the second signal in the middle of it."""
        self.stops += 1
        if self.stops == 1:
            signal.raise_signal(signal.SIGTERM)


def test_a_second_signal_does_not_wait_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that interrupts the handler of the one before returns at once: it would wait for its locks for ever."""
    monitor: Any = Interrupted()
    monkeypatch.setattr(app, "health", Health())
    monkeypatch.setattr(app, "_monitors", [monitor])
    monkeypatch.setattr(app, "_services", None)
    before = signal.signal(signal.SIGTERM, lambda *_: app._stop())
    try:
        app._stop()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert monitor.stops == 1
