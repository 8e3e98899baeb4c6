"""The process: opens the port, says where, and serves until it is told to end."""

import asyncio
import signal
import sys

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.netutil import bind_sockets

from worker.sandbox.catalogue import UPLOAD_BYTES
from worker.sandbox.options import SandboxOptions
from worker.sandbox.routes import PREFIX
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.service import Service

_LARGEST_BODY = 4 * UPLOAD_BYTES
"""What is read at all; a body above the documented limit but below this gets a proper answer."""


def run(options: SandboxOptions) -> None:
    """Serves until SIGTERM or SIGINT; prints one line once the port is open."""
    sandbox = Sandbox(options)
    try:
        asyncio.run(_serve(sandbox))
    finally:
        sandbox.archive.close()


async def _serve(sandbox: Sandbox) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    options = sandbox.options
    sockets = bind_sockets(options.port, options.host, backlog=1024)
    server = HTTPServer(_Reception(Service(sandbox)), max_buffer_size=_LARGEST_BODY)
    server.add_sockets(sockets)
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stdout.write(f"sandbox listening on http://{host}:{sockets[0].getsockname()[1]}{PREFIX}\n")
    sys.stdout.flush()
    await ended.wait()
    server.stop()
    await server.close_all_connections()


class _Reception(HTTPServerConnectionDelegate):
    """Counts connections and hands every request on one to a delegate of its own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: set[object] = set()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called before each request, the first on a connection included."""
        if server_conn not in self._open:
            self._open.add(server_conn)
            self._service.accepted()
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - tornado's server has no other
        return _Arrival(self._service, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Called when a connection is closed by either side."""
        self._open.discard(server_conn)


class _Arrival(HTTPMessageDelegate):
    """Collects one request."""

    __slots__ = ("_chunks", "_connection", "_headers", "_method", "_service", "_target")

    def __init__(self, service: Service, connection: HTTP1Connection) -> None:
        self._service = service
        self._connection = connection
        self._chunks: list[bytes] = []

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - this is a server
        self._method, self._target, self._headers = start_line.method, start_line.path, headers

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        body = b"".join(self._chunks)
        self._service.answer(self._connection, self._method, self._target, self._headers, body)

    def on_connection_close(self) -> None:
        """The client went away in the middle of its request, which is then none."""
