"""The server process: opens the port, prints its address, and serves until SIGTERM or SIGINT."""

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

from worker.sandbox.api.catalogue import UPLOAD_BYTES
from worker.sandbox.api.routes import PREFIX
from worker.sandbox.dispatch import Dispatcher
from worker.sandbox.options import SandboxOptions
from worker.sandbox.sandbox import Sandbox

_MAX_BODY_BYTES = 4 * UPLOAD_BYTES
"""Larger bodies close the connection; a body between the documented limit and this one gets an answer."""


def run(options: SandboxOptions) -> None:
    """Serve until SIGTERM or SIGINT; print one line once the port is open."""
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
    server = HTTPServer(_Connections(Dispatcher(sandbox)), max_buffer_size=_MAX_BODY_BYTES)
    server.add_sockets(sockets)
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stdout.write(f"sandbox listening on http://{host}:{sockets[0].getsockname()[1]}{PREFIX}\n")
    sys.stdout.flush()
    await ended.wait()
    server.stop()
    await server.close_all_connections()


class _Connections(HTTPServerConnectionDelegate):
    """Count connections and give each request a delegate."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._open: set[object] = set()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Return the delegate of one request; tornado calls this before each."""
        if server_conn not in self._open:
            self._open.add(server_conn)
            self._dispatcher.count_connection()
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - tornado's server has no other
        return _RequestReader(self._dispatcher, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection that either side closed."""
        self._open.discard(server_conn)


class _RequestReader(HTTPMessageDelegate):
    """Collect one request and dispatch it."""

    __slots__ = ("_chunks", "_connection", "_dispatcher", "_headers", "_method", "_target")

    def __init__(self, dispatcher: Dispatcher, connection: HTTP1Connection) -> None:
        self._dispatcher = dispatcher
        self._connection = connection
        self._chunks: list[bytes] = []

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - this is a server
        self._method, self._target, self._headers = start_line.method, start_line.path, headers

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        body = b"".join(self._chunks)
        self._dispatcher.answer(self._connection, self._method, self._target, self._headers, body)

    def on_connection_close(self) -> None:
        """Drop a request whose client closed the connection before its end."""
