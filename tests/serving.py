"""HTTP servers on loopback, each for the length of a `with` block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class BurstServer(ThreadingHTTPServer):
    """A server for all threads of a worker at once."""

    daemon_threads = True
    request_queue_size = 128  # with the default of 5, a burst of 32 triggers had connections reset


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve requests with a handler on a free port, log none of them, and yield the URL without a slash at its end."""
    silent = type(handler.__name__, (handler,), {"log_message": lambda *_: None})
    with BurstServer(("127.0.0.1", 0), silent) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
