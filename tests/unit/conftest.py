"""Fixtures that several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from worker.telemetry import recorder


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    """The registry of a process that records."""
    yield recorder.start()
    recorder.stop()
