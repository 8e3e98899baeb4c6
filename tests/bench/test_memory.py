"""What a job in flight takes in Redis, everything included. Memory, unlike time, may be promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.__main__ import run
from ops.bench.measures import parked
from ops.bench.plan import Plan

MAX_BYTES = 2000


def test_a_job_in_flight_takes_at_most_two_thousand_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enqueued by a bare Celery app, triggered by a worker, and waiting: broker, result, ledger and events together."""
    monkeypatch.setattr(parked, "REST_S", 1.0)
    (measured,) = run(Plan(folder=tmp_path, parked=1500, peers=("ours",)), [parked])
    assert measured.numbers["created"] == parked.WARM + 1500
    assert 1000 < measured.numbers["redis_bytes_per_job"] <= MAX_BYTES
