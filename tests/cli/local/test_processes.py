"""Child processes and ports."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from tests.waiting import wait_until
from worker.cli.local.processes import Child, free_port, listens

IGNORES_SIGTERM = "import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True); signal.pause()"


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after a delay."""
    child = Child("stubborn", [sys.executable, "-c", IGNORES_SIGTERM], log=tmp_path / "log")
    wait_until(lambda: "on" in (tmp_path / "log").read_text(), "it ignores SIGTERM")
    assert child.stop(within=0.1) == -9


def test_a_preferred_port() -> None:
    """A preferred port is used if it is free, and replaced by another one if it is in use."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert listens(port)
        assert free_port(port) != port
    assert free_port(port) == port
