"""Child processes that end with their parent.

The kernel signals a child when the *thread* that started it ends: start children from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # prctl(2): the kernel signals the child when its parent dies, even of SIGKILL
STOP_S = 15.0

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loading is not allowed between fork and exec


def _die_with(parent: int) -> None:
    if _LIBC is None:
        return
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent died before the line above
        os._exit(1)


def free_port(preferred: int = 0, *, host: str = "127.0.0.1") -> int:
    """Return a free port, the preferred one if possible."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, preferred))
        except OSError:
            probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether a server accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Child:
    """One child process."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start the process.

        Args:
            name: for messages.
            argv: the command.
            env: added to the environment of this process.
            log: file for its output; without it, the output of this process.
            pass_fds: open files that it inherits.
        """
        self.name = name
        self.log = log
        self._signals: set[int] = set()
        self._output: IO[bytes] | None = log.open("ab") if log else None
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            list(argv),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its children in order
            pass_fds=pass_fds,
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - two system calls, no lock, no import
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def send_signal(self, signum: int) -> None:
        """Send a signal if the process still runs."""
        if self.exit_code is None:
            self._signals.add(signum)
            self._process.send_signal(signum)

    def stop(self, *, within: float = STOP_S) -> int:
        """Send SIGTERM, send SIGKILL after `within` seconds, and return the exit code."""
        if signal.SIGTERM not in self._signals:  # a second SIGTERM would make a worker stop at once
            self.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self._close()
        return code

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.send_signal(signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
