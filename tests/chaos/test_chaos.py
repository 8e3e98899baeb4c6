"""The short form of `make chaos`: a fixed seed, half a minute of trouble."""

from __future__ import annotations

import pytest

from tests.chaos.driver import main


@pytest.mark.timeout(300)
def test_the_books_agree(capfd: pytest.CaptureFixture[str]) -> None:
    """Workers, Redis and the API killed at random: nothing lost, nothing paid twice, everything told once."""
    code = main(["--seconds", "25", "--jobs", "40", "--seed", "11", "--rest", "150"])

    assert code == 0, capfd.readouterr().out
