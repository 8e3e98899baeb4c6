"""Real parts for tests: a worker process, a producer's Celery app, and a receiver of webhooks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import pools

from tests.serving import serving
from tests.waiting import wait_until
from worker.cli.local.processes import Child
from worker.store.keys import Keys

keys = Keys()
"""The keys of the default namespace."""


class Database(IntEnum):
    """The databases of the tests' Valkey: a worker takes every job of its own, so no two groups of tests share one."""

    SESSION = 0
    ISOLATED = 3
    LIST_POLLS = 4
    LIST_POLLS_ALONE = 5
    WORKER_COMMAND = 6
    TRACES = 7
    NEIGHBORS = 8
    FILES_AFTER = 9
    FILES_BEFORE = 10
    FILES_ALONE = 11
    NO_WORKER = 15

    def url(self, url: str) -> str:
        """Return the URL of this database, for the URL of the session's."""
        return url.replace("/0", f"/{self.value}")


WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


class WorkerProcess:
    """A `photogpt-worker worker` in its own process."""

    def __init__(self, env: dict[str, str], log: Path, *argv: str) -> None:
        """Start the process; `ready` waits until it accepts work."""
        self.log = log
        self._env = env
        self._argv = argv
        self.start()

    def start(self) -> None:
        """Start the process, also after it was stopped or killed."""
        self._from = len(self.text())
        command = [sys.executable, "-m", "worker.cli.main", "worker", *self._argv]
        self.child = Child("worker", command, env=self._env, log=self.log)

    def stop(self) -> None:
        """End the process with SIGTERM, as an operator would."""
        self.child.stop()

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        self.child.kill()

    def ready(self) -> WorkerProcess:
        """Wait until the worker accepts work."""
        wait_until(
            lambda: "worker.ready" in self.text()[self._from :] or self.child.exit_code is not None,
            f"the worker accepts work; its log is {self.log}",
            within=40,
        )
        assert self.child.exit_code is None, self.text()
        return self

    def text(self) -> str:
        """Return the log so far."""
        return self.log.read_text() if self.log.exists() else ""


@contextmanager
def celery_app(broker_url: str, backend_url: str) -> Iterator[Celery]:
    """Yield a Celery app as another service has it, without any of our code."""
    app = Celery("another-service", broker=broker_url, backend=backend_url, set_as_current=False)
    app.conf.broker_pool_limit = pools.get_limit()  # kombu's pools are the process', and refuse to shrink while in use
    yield app
    # An AsyncResult unsubscribes when it is collected. After its server has stopped that fails in `__del__`.
    backend: Any = app.backend
    backend.result_consumer.subscribed_to.clear()
    app.close()


@dataclass
class ReceivedRequest:
    """One request that a receiver got."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server on a loopback port that keeps every request and answers with the status of `answers`."""

    answers: Callable[[ReceivedRequest], int] = lambda _: 204
    #: Headers of every answer.
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[ReceivedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start to listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # its sender was killed
                    self.close_connection = True
                    return
                received = ReceivedRequest(
                    {name.lower(): value for name, value in self.headers.items()}, body, time.time()
                )
                status = receiver.answers(received)
                receiver.requests.append(received)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

        self._server = ExitStack()
        self.url = f"{self._server.enter_context(serving(Handler))}/hook"

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
