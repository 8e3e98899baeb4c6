"""What is said about a trigger that cannot be resolved."""

from __future__ import annotations

from tests.unit.factories import make_job
from worker.steps import reconcile


def test_an_error_names_a_limited_number_of_candidates() -> None:
    """Of a thousand candidates, the error of a job names twenty and counts the others."""
    finish = reconcile._uncertain(make_job(), "PhotoGPT's answer was lost", [f"g-{number}" for number in range(1000)])
    assert ", g-19 and 980 others. " in (finish.result.error or "")
    assert "g-20" not in (finish.result.error or "")
