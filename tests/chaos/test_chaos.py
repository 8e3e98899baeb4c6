"""A short `make chaos`: a fixed seed and half a minute of faults."""

from __future__ import annotations

import pytest

from tests.chaos.driver import main


@pytest.mark.timeout(300)
def test_no_job_is_lost_or_paid_twice(capfd: pytest.CaptureFixture[str]) -> None:
    """Killing workers, Redis and the API at random loses no job, pays none twice, and ends each exactly once."""
    code = main(["--seconds", "25", "--jobs", "40", "--seed", "11", "--settle", "150"])

    assert code == 0, capfd.readouterr().out
