"""Runs commands in separate processes, and checks their child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until
from worker.cli.local.processes import Child

COMMAND = (sys.executable, "-m", "worker.cli.main")


class Running:
    """A command that runs until it gets a signal."""

    def __init__(self, log: Path, env: dict[str, str], *argv: str) -> None:
        """Start the command with its output in a log file."""
        self._log = log
        self.child = Child(argv[0], [*COMMAND, *argv], env=env, log=log)

    def text(self) -> str:
        """Return the output so far."""
        return self._log.read_text() if self._log.exists() else ""

    def wait_for_output(self, words: str, *, within: float = 40) -> str:
        """Wait until the output contains some words, and return all output."""
        wait_until(
            lambda: words in self.text() or self.child.exit_code is not None,
            f"{self.child.name} prints {words!r}",
            within=within,
        )
        assert words in self.text(), self.text()
        return self.text()

    def children(self) -> dict[int, str]:
        """Return the command lines of the child processes by process id."""
        pid = self.child.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {int(name): Path(f"/proc/{name}/cmdline").read_text().replace("\0", " ") for name in found}

    def end_with(self, signum: int) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.child.send_signal(signum)
        wait_until(lambda: self.child.exit_code is not None, f"{self.child.name} has ended")
        return self.child.stop()


def run(
    env: dict[str, str], *argv: str, within: float = 60, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends."""
    child = subprocess.run(
        [*COMMAND, *argv],
        env={**os.environ, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert "Traceback" not in child.stderr, child.stderr
    return child


def has_ended(pid: int) -> bool:
    """Whether a process has ended, even if its parent has not collected it yet."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
