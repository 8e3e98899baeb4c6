"""The API of the second stand-in, and a host of files whose every byte a test chooses."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.serving import BurstServer

CREATED = "2026-11-01T12:00:00Z"


@dataclass(frozen=True)
class Reply:
    """One answer, byte by byte."""

    status: int = 200
    #: Without Content-Length if `length` is None.
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Value of Content-Length; -1 for the true one.
    length: int | None = -1
    #: HTTP/1.0 answers end with the connection.
    version: str = "1.1"
    #: Reset the connection after the body.
    reset: bool = False
    #: Send nothing more, and keep the connection open.
    hang: bool = False
    #: In front of the answer.
    before: bytes = b""

    @property
    def head(self) -> bytes:
        """The status line and the headers."""
        headers = dict(self.headers)
        if self.length is not None:
            headers["Content-Length"] = str(len(self.body) if self.length < 0 else self.length)
        lines = [f"HTTP/{self.version} {self.status} Odd", *(f"{name}: {value}" for name, value in headers.items())]
        return self.before + "\r\n".join([*lines, "", ""]).encode()


def envelope(result: Any, status: int = 200, **headers: str) -> Reply:
    """Return an answer of the API."""
    word = "OK" if status < 300 else "NOK"
    body = {"status": word, "result": result} if status < 300 else {"status": word, "message": f"odd {status}"}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def nok(message: str) -> Reply:
    """Return an error of the API under the status 200."""
    return Reply(200, json.dumps({"status": "NOK", "message": message, "result": None}).encode())


Replies = Callable[[int], Reply]
"""Returns the answer for the n-th request, from 0."""


def in_turn(*replies: Reply) -> Replies:
    """Answer each request with the next reply, and all further ones with the last."""
    return lambda number: replies[min(number, len(replies) - 1)]


@dataclass
class Case:
    """One generation and what becomes of its file. The prompt of a request names its case."""

    #: The output's record at the n-th read of the generation; {host} stands for the address of the files.
    record: Callable[[int], dict[str, Any]]
    #: Answers for the path of a file, without its query.
    files: dict[str, Replies] = field(default_factory=dict)
    is_video: bool = False
    create: Replies = field(default_factory=lambda: in_turn(envelope("requested")))
    download: Replies | None = None


class Vendor:
    """PhotoGPT's API with prepared cases, and the host of their files, on one loopback port."""

    def __init__(self, cases: Mapping[str, Case]) -> None:
        """Start to listen. Paths of files are below /NAME of their case."""
        self._cases = cases
        self._lock = threading.Lock()
        #: Requests by method and path.
        self.asked: Counter[str] = Counter()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                _send(self, vendor.answer(f"GET {path}", b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                _send(self, vendor.answer(f"POST {self.path}", body))

            def log_message(self, *_: object) -> None:
                pass

        self._server = BurstServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.base_url = f"http://{self.host}/api"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: str, body: bytes) -> Reply:
        """Return the answer to a request, such as `GET /api/jobs/x`."""
        with self._lock:
            number = self.asked[request]
            self.asked[request] += 1
        path = request.partition(" ")[2]
        if not path.startswith("/api/"):
            return self._file(path, number)
        if request.startswith("POST"):
            return envelope({"jobId": json.loads(body)["prompt"], "status": "queued"})
        if match := re.fullmatch(r"/api/(jobs|images|videos)/([^/]+)(/create-download|/download)?", path):
            kind, name, step = match.groups()
            return self._of_case(kind, name.removeprefix("id-"), step, number)
        return envelope({"jobs": []} if path == "/api/jobs" else None)

    def _of_case(self, kind: str, name: str, step: str | None, number: int) -> Reply:
        case = self._cases[name]
        if step:
            replies = case.create if step == "/create-download" else case.download
            return self._filled(replies(number)) if replies else envelope(None, 404)
        record = self._filled_record(case.record(number))
        if kind != "jobs":
            return envelope(record)
        outputs = {"videos" if case.is_video else "images": [record]}
        return envelope({"jobId": name, "status": "success", "createdAt": CREATED, **outputs})

    def _file(self, path: str, number: int) -> Reply:
        case = self._cases.get(path.split("/")[1])
        replies = case.files.get(path) if case else None
        return self._filled(replies(number)) if replies else Reply(404, b"no such file")

    def _filled(self, reply: Reply) -> Reply:
        headers = {name: value.replace("{host}", self.host) for name, value in reply.headers.items()}
        body = reply.body.replace(b"{host}", self.host.encode()) if b"{host}" in reply.body else reply.body
        return Reply(**{**vars(reply), "headers": headers, "body": body})

    def _filled_record(self, record: dict[str, Any]) -> dict[str, Any]:
        return {k: v.replace("{host}", self.host) if isinstance(v, str) else v for k, v in record.items()}


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.wfile.write(reply.head + reply.body)
    if reply.hang:
        handler.connection.settimeout(10)
        handler.connection.recv(1)  # until the worker hangs up
    if reply.reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(handler.connection.detach())  # without a FIN before
    complete = reply.length == -1 or "Transfer-Encoding" in reply.headers
    handler.close_connection = reply.reset or reply.hang or not complete or reply.version == "1.0"
