"""Child processes that do not outlive their parent, and that end in order.

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

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: between fork and exec one may not


def _die_with(parent: int) -> None:
    if _LIBC is None:
        return
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def free_port(preferred: int = 0, *, host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on at the moment: the preferred one if possible."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, preferred))
        except OSError:
            probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether something takes connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Child:
    """One process of ours."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            name: for messages.
            argv: the command.
            env: added to our own environment.
            log: where its output goes; without it, to ours.
            pass_fds: open files it inherits.
        """
        self.name = name
        self.log = log
        self._told: set[int] = set()
        self._output: IO[bytes] | None = log.open("ab") if log else None
        self._process = subprocess.Popen(  # noqa: S603 - commands of our own
            list(argv),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end things in order
            pass_fds=pass_fds,
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - two system calls, no lock, no import
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def tell(self, signum: int) -> None:
        """Send a signal, if it still runs."""
        if self.ended is None:
            self._told.add(signum)
            self._process.send_signal(signum)

    def stop(self, *, within: float = STOP_S) -> int:
        """Ask it to end, once; insist after `within` seconds, and return its exit code."""
        if signal.SIGTERM not in self._told:  # a second one would hurry it
            self.tell(signal.SIGTERM)
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self._close()
        return code

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.tell(signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
