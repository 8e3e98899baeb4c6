"""A receiver of webhooks that believes nothing: for the demo, for `webhooks listen`, and as a model for yours."""

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

from config.secrets import verifying_key
from worker.domain.job import JsonObject
from worker.webhooks.signing import SignatureError, verify

LARGEST_BODY = 10_000_000
REFUSED = 400
TOO_LARGE = 413
SLOWEST_S = 30.0
"""Between two bytes of a sender; one that stands still holds a thread no longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One request that a receiver got."""

    #: Names in lower case.
    headers: dict[str, str]
    #: The HTTP status that it was answered with.
    status: int
    #: The body, parsed, if its signature fits.
    event: JsonObject | None = None
    #: Why it was turned away.
    refused: str | None = None
    #: How often an event of this id has come by now.
    times: int = 0


class VerifyingReceiver:
    """Listens on a port, checks every signature, and counts."""

    def __init__(
        self,
        *secrets: str,
        host: str = "127.0.0.1",
        port: int = 0,
        answer: Callable[[int], int] = lambda _: 204,
        tell: Callable[[Arrival], None] = lambda _: None,
    ) -> None:
        """Begin to listen.

        Args:
            secrets: `whsec_…`, `whsk_…` or `whpk_…`; one that fits is enough.
            host: address to listen on.
            port: 0 for any.
            answer: the HTTP status for a verified event, by how often it has come.
            tell: called for every request, by one thread at a time.

        Raises:
            OSError: the port cannot be had.
        """
        self._keys = [verifying_key(secret) for secret in secrets]
        self._answer = answer
        self._tell = tell
        #: Distinct webhooks that were verified, by job id: an attempt that comes twice counts once.
        self.verified: Counter[str] = Counter()
        #: Why others were turned away.
        self.refused: list[str] = []
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()
        bound = type("BoundAnswering", (Answering,), {"receiver": self})
        self._server = (Server6 if ":" in host else Server)((host, port), bound)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Check one webhook and return the HTTP status to answer."""
        try:
            verify(self._keys, headers, body, now=time.time())
            event: JsonObject = json.loads(body)
            job_id = str(event["data"]["id"])
        except (SignatureError, ValueError, KeyError, TypeError) as error:
            return self.refuse(headers, REFUSED, str(error))
        with self._lock:
            webhook_id = headers["webhook-id"]
            self._times[webhook_id] += 1
            times = self._times[webhook_id]
            if times == 1:
                self.verified[job_id] += 1
            status = self._answer(times)
            self._tell(Arrival(headers=headers, status=status, event=event, times=times))
        return status

    def refuse(self, headers: dict[str, str], status: int, why: str) -> int:
        """Turn one request away and return the HTTP status to answer."""
        with self._lock:
            self.refused.append(why)
            self._tell(Arrival(headers=headers, status=status, refused=why))
        return status

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a sender that hangs up is no fault of the receiver."""


class Server6(Server):
    """The same over IPv6."""

    address_family = socket.AF_INET6


class Answering(BaseHTTPRequestHandler):
    """Hands each request to the receiver that it is bound to."""

    protocol_version = "HTTP/1.1"
    timeout = SLOWEST_S
    receiver: ClassVar[VerifyingReceiver]

    def do_POST(self) -> None:
        """Answer one webhook."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = headers.get("content-length", "0")
        if not said.isdecimal() or int(said) > LARGEST_BODY:
            self.close_connection = True  # its body is not read
            status = self.receiver.refuse(headers, TOO_LARGE, f"a body of {said} bytes is not read")
        else:
            status = self.receiver.take(headers, self.rfile.read(int(said)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
