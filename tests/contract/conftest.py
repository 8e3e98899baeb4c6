"""Fixtures for tests of one part against a real neighbour. A separate Valkey, so that no worker takes their jobs."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from config.settings import Settings
from tests.contract.sending import Senders
from tests.separate import broker_url, valkey, worker_env
from worker.http.adapter import bounded_session
from worker.http.addresses import Network
from worker.http.guard import GuardedAdapter
from worker.store.lanes import Tick
from worker.store.store import Store, open_store

__all__ = ["broker_url", "valkey", "worker_env"]

PORTS = range(1, 65536)


@pytest.fixture
def ticks() -> list[Tick]:
    """The tick messages that the store publishes."""
    return []


@pytest.fixture
def store(client: redis.Redis, store_settings: Settings, ticks: list[Tick]) -> Iterator[Store]:
    """An empty store, opened with the settings of the test module."""
    del client
    opened = open_store(store_settings, ticks.append)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that no authority signed, for `right.example` and 127.0.0.1 only, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    paths = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=right.example", "-addext", "subjectAltName=DNS:right.example,IP:127.0.0.1"]
    subprocess.run([*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


class Names:
    """DNS for a test: what each name leads to, lookup by lookup. Real DNS is not there."""

    def __init__(self) -> None:
        """Know nothing; addresses lead to themselves."""
        self.answers: dict[str, list[list[str]]] = {}
        self.lookups: list[str] = []
        self.connected: list[Any] = []
        self._real = socket.getaddrinfo

    def lead(self, name: str, *answers: list[str]) -> None:
        """Let a name lead to the addresses of each lookup in turn; the last answer stays."""
        self.answers[name] = list(answers)

    def resolve(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        """Stand in for `socket.getaddrinfo`."""
        name = host.decode() if isinstance(host, bytes) else host
        self.lookups.append(name)
        queue = self.answers.get(name)
        if queue is None:
            return self._real(host, port, *args, **kwargs)
        found = queue.pop(0) if len(queue) > 1 else queue[0]
        return [entry for each in found for entry in self._real(each, port, type=socket.SOCK_STREAM)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names that lead where a test says, and a record of every connection tried."""
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.resolve)
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        made.connected.append(address)
        if not ipaddress.ip_address(address[0].split("%")[0]).is_loopback:
            raise ConnectionRefusedError("a test goes nowhere but loopback")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return made


@pytest.fixture
def send() -> Iterator[Senders]:
    """Send webhooks as the worker does."""
    with closing(Senders()) as senders:
        yield senders


Open = Callable[..., requests.Session]


@pytest.fixture
def guarded() -> Iterator[Open]:
    """Make sessions as the sender does."""
    with ExitStack() as opened:

        def make(*allow: str) -> requests.Session:
            networks: list[Network] = [ipaddress.ip_network(text) for text in allow]
            adapters = {
                f"{name}://": GuardedAdapter(name, networks, ports=PORTS, pool_size=2) for name in ("http", "https")
            }
            return opened.enter_context(bounded_session(adapters))

        yield make


def post(session: requests.Session, url: str) -> requests.Response:
    """Send as the sender does."""
    return session.post(url, data=b"{}", timeout=(2, 2), allow_redirects=False)


def host_of(address: str) -> str:
    """Write an address as a URL wants it."""
    return f"[{address}]" if ":" in address else address
