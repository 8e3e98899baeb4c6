"""The Redis memory of a job in flight, which unlike time can be promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.__main__ import run
from ops.bench.measures import memory
from ops.bench.plan import Plan

MAX_BYTES = 2000


def test_a_job_in_flight_takes_at_most_two_thousand_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting job takes at most 2,000 bytes of Redis: broker, result, record and events together."""
    monkeypatch.setattr(memory, "SETTLE_S", 1.0)
    monkeypatch.setattr(memory, "WARM", 300)  # fewer than in the benchmark, which also measures the worker
    (measured,) = run(Plan(folder=tmp_path, waiting=900, peers=("ours",)), [memory])
    assert measured.numbers["created"] == memory.WARM + 900
    assert 1000 < measured.numbers["redis_bytes_per_job"] <= MAX_BYTES
