"""A small HTTP server for metrics and probes, in threads of its own."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

TEXT = "text/plain; charset=utf-8"
CLIENT_TIMEOUT_S = 5.0  # for a client that sends its request slowly


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

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Listen; `start` answers.

        Raises:
            OSError: the address is not of this machine, or the port is in use.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = found[0]
        self.routes = routes
        super().__init__((str(found[4][0]), port), _Handler)

    def start(self) -> None:
        """Answer requests in a thread."""
        threading.Thread(target=self.serve_forever, name="http-listener", daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a connection that broke; print the traceback of any other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    timeout = CLIENT_TIMEOUT_S

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
