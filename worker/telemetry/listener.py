"""A small HTTP server for metrics and probes, in threads of its own.

Each connection has one request and a thread. Their number, the size of a request and the time to send it are limited,
so that slow clients neither delay a probe nor fill the memory.
"""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

TEXT = "text/plain; charset=utf-8"
CLIENT_TIMEOUT_S = 5.0  # to send a request, and then to read its answer
MAX_CONNECTIONS = 64  # each takes a thread; probes and a few Prometheus servers need about five
MAX_REQUEST_BYTES = 16384
RETRY_S = 0.1  # while the process has no open files left for a connection


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one GET."""

    body: bytes
    status: int = 200
    content_type: str = TEXT


Route = Callable[[str], Answer]
"""Makes the answer, given the request's Accept header."""


def probe(problems: Callable[[], list[str]]) -> Route:
    """Return a route that answers 200 while there is no problem, else 503 with the problems, a line each."""

    def answer(_: str) -> Answer:
        found = problems()
        return Answer("".join(f"{line}\n" for line in found or ["ok"]).encode(), 503 if found else 200)

    return answer


class Listener(ThreadingMixIn, TCPServer):
    """Answers GET and HEAD for a few paths."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # connections that wait to be accepted; the default of 5 delays a probe in a burst

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Listen; `start` answers.

        Raises:
            OSError: the address is not of this machine, or the port is in use.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = found[0]
        self.routes = routes
        self._lock = threading.Lock()
        self._sending: dict[Any, None] = {}  # connections whose request is incomplete, the oldest first
        self._answered: set[Any] = set()  # connections that get their answer
        super().__init__((str(found[4][0]), port), _Handler)

    def start(self) -> None:
        """Answer requests in a thread."""
        threading.Thread(target=self.serve_forever, name="http-listener", daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Without an open file for it, wait a little: the server would try again at once."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(RETRY_S)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Admit a connection; at the limit, close the one that has been sending its request for the longest time."""
        with self._lock:
            if len(self._sending) + len(self._answered) >= MAX_CONNECTIONS:
                if not self._sending:
                    return False
                slowest = next(iter(self._sending))
                del self._sending[slowest]
                with contextlib.suppress(OSError):  # its thread has just closed it
                    slowest.shutdown(socket.SHUT_RDWR)
            self._sending[request] = None
        return True

    def request_received(self, request: Any) -> None:
        """Record that a request is complete: its connection is not closed in favor of another one."""
        with self._lock:
            if request in self._sending:
                del self._sending[request]
                self._answered.add(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._sending.pop(request, None)
            self._answered.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a connection that broke; print the traceback of any other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    timeout = CLIENT_TIMEOUT_S

    def setup(self) -> None:
        """Read the request as a whole, within a limit of bytes and time."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO(_request_head(self.connection))
        self.connection.settimeout(CLIENT_TIMEOUT_S)
        self.server.request_received(self.request)

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        answer = route(self.headers.get("Accept", "")) if route else Answer(b"not found\n", 404)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def version_string(self) -> str:
        """Name the service, and no version of Python."""
        return "photogpt-worker"

    def log_message(self, *_: object) -> None:
        """Log nothing: probes come every few seconds."""


def _request_head(connection: socket.socket) -> bytes:
    """Return a request up to the empty line after its headers; nothing if that does not come in time."""
    head, ends_at = b"", time.monotonic() + CLIENT_TIMEOUT_S
    while len(head) < MAX_REQUEST_BYTES and (left_s := ends_at - time.monotonic()) > 0:
        connection.settimeout(left_s)
        received = connection.recv(4096)
        head += received
        if b"\r\n\r\n" in head or b"\n\n" in head:
            return head
        if not received:
            break
    return b""
