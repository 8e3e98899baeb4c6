"""A receiver that verifies every webhook: for `demo` and `webhooks listen`, and as an example for your own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from config.webhook_keys import verifying_key
from worker.domain.job import JsonObject
from worker.webhooks.signing import SignatureError, verify

MAX_BODY = 10_000_000
"""Bytes."""
BAD_REQUEST = 400
TOO_LARGE = 413
READ_TIMEOUT_S = 30.0
"""A sender that pauses for longer within a request is disconnected, which frees its thread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedWebhook:
    """One request to the receiver, accepted or refused."""

    #: Names in lower case.
    headers: dict[str, str]
    #: The HTTP status of the answer.
    status: int
    #: The parsed body, if its signature is valid.
    event: JsonObject | None = None
    #: Why the request was refused.
    refused: str | None = None
    #: How many requests have carried this webhook-id so far.
    times: int = 0


class VerifyingReceiver:
    """Listens on a port, verifies signatures, and counts webhooks."""

    def __init__(
        self,
        *secrets: str,
        host: str = "127.0.0.1",
        port: int = 0,
        answer: Callable[[int], int] = lambda _: 204,
        on_received: Callable[[ReceivedWebhook], None] = lambda _: None,
    ) -> None:
        """Start to listen.

        Args:
            secrets: `whsec_…`, `whsk_…` or `whpk_…`; a signature must fit one of them.
            host: address to listen on.
            port: 0 for any free port.
            answer: returns the HTTP status for a verified event, given how often it has come.
            on_received: called for every request, by one thread at a time.

        Raises:
            OSError: the port is not available.
        """
        self._keys = [verifying_key(secret) for secret in secrets]
        self._answer = answer
        self._on_received = on_received
        #: Verified webhooks by job id; repeated attempts of one webhook count once.
        self.verified: Counter[str] = Counter()
        #: The reasons of all refusals.
        self.refused: list[str] = []
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()
        handler = type("BoundHandler", (Handler,), {"receiver": self})
        self._server = (Server6 if ":" in host else Server)((host, port), handler)
        url_host = f"[{host}]" if ":" in host else host
        self.url = f"http://{url_host}:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True).start()

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        """Verify one webhook and return the HTTP status to answer."""
        try:
            verify(self._keys, headers, body, now=time.time())
            event: JsonObject = json.loads(body)
            job_id = str(event["data"]["id"])
        except (SignatureError, ValueError, KeyError, TypeError) as error:
            return self.refuse(headers, BAD_REQUEST, str(error))
        with self._lock:
            webhook_id = headers["webhook-id"]
            self._times[webhook_id] += 1
            times = self._times[webhook_id]
            if times == 1:
                self.verified[job_id] += 1
            status = self._answer(times)
            self._on_received(ReceivedWebhook(headers=headers, status=status, event=event, times=times))
        return status

    def refuse(self, headers: dict[str, str], status: int, reason: str) -> int:
        """Record a refusal and return the HTTP status to answer."""
        with self._lock:
            self.refused.append(reason)
            self._on_received(ReceivedWebhook(headers=headers, status=status, refused=reason))
        return status

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 128  # connections that wait to be accepted

    def handle_error(self, request: object, client_address: object) -> None:
        """Print no traceback: a sender that disconnects is no fault of the receiver."""


class Server6(Server):
    """The same over IPv6."""

    address_family = socket.AF_INET6


class Handler(BaseHTTPRequestHandler):
    """Passes each request to the receiver that it is bound to."""

    protocol_version = "HTTP/1.1"
    timeout = READ_TIMEOUT_S
    receiver: ClassVar[VerifyingReceiver]

    def do_POST(self) -> None:
        """Answer one webhook."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True  # the unread body must not be parsed as the next request
            status = self.receiver.refuse(headers, TOO_LARGE, f"a body of {length} bytes is not read")
        else:
            status = self.receiver.receive(headers, self.rfile.read(int(length)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing."""
