"""HTTP calls with a wall-clock deadline and a size limit, over `requests`.

The timeouts of `requests` bound the time between two bytes, not the call: a peer that sends one byte a second holds it
for ever. Here a call registers its connection, and one thread closes the sockets of calls past their deadline.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from worker.http.errors import AnswerTooLarge, DeadlineExceeded

CHECK_INTERVAL_S = 0.1


class Call:
    """One call of this thread."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.sock: socket.socket | None = None
        #: Bytes of the request may have been sent.
        self.sent = False
        self.expired = False

    def abort(self) -> None:
        """Shut the socket down, which ends a read or write on it."""
        self.expired = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # not SSLSocket.shutdown: a thread may be reading


_this_thread = threading.local()


class _Watchdog:
    """A thread that aborts calls past their deadline."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._has_calls = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, call: Call) -> None:
        """Watch a call; start the thread if it does not run."""
        with self._lock:
            self._calls.add(call)
            self._has_calls.set()
            if self._thread is None or not self._thread.is_alive():  # the first call of this process
                self._thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                self._thread.start()

    def remove(self, call: Call) -> None:
        """Stop watching a call."""
        with self._lock:
            self._calls.discard(call)

    def _run(self) -> None:
        while True:
            self._has_calls.wait()
            time.sleep(CHECK_INTERVAL_S)
            now = time.monotonic()
            with self._lock:
                overdue = [call for call in self._calls if call.ends < now]
                if not self._calls:
                    self._has_calls.clear()
            for call in overdue:
                call.abort()


_watchdog = _Watchdog()


@contextlib.contextmanager
def call_within(seconds: float) -> Iterator[Call]:
    """Bound the HTTP calls of this thread inside the block; yield a `Call` that says whether bytes were sent.

    Raises:
        DeadlineExceeded: the deadline passed before the answer was read.
    """
    call = Call(seconds)
    _this_thread.call = call
    _watchdog.add(call)
    try:
        yield call
    except (requests.RequestException, OSError) as error:
        if call.expired:
            raise DeadlineExceeded(f"no complete answer within {seconds:g} s") from error
        raise
    finally:
        _watchdog.remove(call)
        _this_thread.call = None
    if call.expired:
        raise DeadlineExceeded(f"no complete answer within {seconds:g} s")


def read_bounded(response: requests.Response, limit: int) -> bytes:
    """Read a streamed answer's body.

    Args:
        response: an answer requested with `stream=True`.
        limit: the maximum number of bytes, counted after a content encoding is undone.

    Raises:
        AnswerTooLarge: the body is longer; the connection is closed.
        requests.ConnectionError: the body is incomplete.
    """
    try:
        body: bytes = response.raw.read(limit + 1, decode_content=True)
    except Exception as error:
        response.close()
        if isinstance(error, OSError):
            raise
        raise requests.ConnectionError(f"the answer is incomplete: {error}") from error
    if len(body) > limit:
        response.close()
        raise AnswerTooLarge(f"the answer is longer than {limit} bytes")
    response.close()
    return body


class _Registering:
    """Registers a new or kept-alive connection with the call of this thread."""

    sock: socket.socket | None

    def send(self, data: Any) -> None:
        """Register the socket, then send; refuse to start a request past the deadline."""
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # mixed into connections only
        call: Call | None = getattr(_this_thread, "call", None)
        if call is not None:
            if not call.sent and time.monotonic() > call.ends:  # the process was suspended, and its lease expired
                raise TimeoutError("the deadline of this call passed before it was sent")
            call.sock, call.sent = self.sock, True
        super().send(data)  # type: ignore[misc]  # mixed into connections only


class _HTTPConnection(_Registering, HTTPConnection):
    pass


class _HTTPSConnection(_Registering, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


POOLS: dict[str, Any] = {"http": _HTTPPool, "https": _HTTPSPool}


class BoundedAdapter(HTTPAdapter):
    """An adapter whose connections `call_within` can close."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our connection pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use our connection pools towards a proxy, too."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager


class _Session(requests.Session):
    """A session that ignores redirects: `requests` reads their whole body, even with `allow_redirects=False`."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target."""
        del resp


def bounded_session(adapters: Mapping[str, HTTPAdapter]) -> requests.Session:
    """Return a session that ignores environment variables and .netrc, and keeps no cookies.

    Args:
        adapters: by URL prefix; they replace the standard adapters.
    """
    session = _Session()
    session.trust_env = False  # environment proxies and .netrc could receive or add credentials
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for prefix, adapter in adapters.items():
        session.mount(prefix, adapter)
    return session
