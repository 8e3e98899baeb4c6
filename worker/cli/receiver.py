"""A receiver of webhooks that believes nothing: what the demo shows, and what a receiver of yours should do."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from config.secrets import decode_webhook_secret
from worker.webhooks.signing import SignatureError, verify

LARGEST_BODY = 10_000_000


class VerifyingReceiver:
    """Listens on a loopback port, checks every signature, and counts."""

    def __init__(self, secret: str) -> None:
        """Begin to listen."""
        self._key = decode_webhook_secret(secret)
        #: Distinct webhooks that were verified, by job id: an attempt that comes twice counts once.
        self.verified: Counter[str] = Counter()
        #: Why others were turned away.
        self.refused: list[str] = []
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        bound = type("BoundAnswering", (Answering,), {"receiver": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Check one webhook and return the HTTP status to answer."""
        try:
            verify([self._key], headers, body, now=time.time())
            job_id = str(json.loads(body)["data"]["id"])
        except (SignatureError, ValueError, KeyError, TypeError) as error:
            with self._lock:
                self.refused.append(str(error))
            return 400
        with self._lock:
            if headers["webhook-id"] not in self._seen:
                self._seen.add(headers["webhook-id"])
                self.verified[job_id] += 1
        return 204

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Answering(BaseHTTPRequestHandler):
    """Hands each request to the receiver that it is bound to."""

    protocol_version = "HTTP/1.1"
    receiver: ClassVar[VerifyingReceiver]

    def do_POST(self) -> None:
        """Answer one webhook."""
        length = min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY)
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.receiver.take(headers, self.rfile.read(length))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
