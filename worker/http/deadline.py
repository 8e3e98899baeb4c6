"""HTTP calls that end: a wall-clock deadline and a size limit over `requests`.

`requests` bounds the time between two bytes, not the call: a peer that drips one byte a second holds it for ever. Here
a call registers the connection it uses, and one thread closes the sockets of calls whose time is over.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

TICK_S = 0.1
MAX_RETRY_AFTER_S = 7 * 86_400.0  # of a Retry-After; each caller believes less


class DeadlineExceeded(requests.Timeout):
    """The call as a whole took too long."""


class AnswerTooLarge(requests.RequestException):
    """The answer is longer than allowed."""


class Call:
    """One call under way on this thread."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.sock: socket.socket | None = None
        #: Bytes of the request may have left.
        self.sent = False
        self.expired = False

    def abort(self) -> None:
        self.expired = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # below TLS, which a reader may be inside of


_this_thread = threading.local()


class _Watchdog:
    """Aborts calls whose time is over."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.add(call)
            self._some.set()
            if self._thread is None or not self._thread.is_alive():  # first call, or first after a fork
                self._thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                self._thread.start()

    def remove(self, call: Call) -> None:
        with self._lock:
            self._calls.discard(call)

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(TICK_S)
            now = time.monotonic()
            with self._lock:
                late = [call for call in self._calls if call.ends < now]
                if not self._calls:
                    self._some.clear()
            for call in late:
                call.abort()


_watchdog = _Watchdog()


@contextlib.contextmanager
def call_within(seconds: float) -> Iterator[Call]:
    """Bound everything that happens inside on this thread; what is yielded tells whether a request may have left.

    Raises:
        DeadlineExceeded: the time was over before the answer was read.
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


def read_bounded(response: requests.Response, limit: int, *, decode: bool = True) -> bytes:
    """Read a streamed answer's body.

    Args:
        response: got with `stream=True`.
        limit: bytes.
        decode: undo a content encoding; `limit` then counts decoded bytes.

    Raises:
        AnswerTooLarge: there is more; the connection is given up.
    """
    try:
        body: bytes = response.raw.read(limit + 1, decode_content=decode)
    except Exception as error:
        response.close()
        if isinstance(error, OSError):
            raise
        raise requests.ConnectionError(f"the answer broke off: {error}") from error
    if len(body) > limit:
        response.close()
        raise AnswerTooLarge(f"the answer is longer than {limit} bytes")
    response.close()
    return body


class _Registering:
    """Tells the call on this thread which connection it uses, be it new or kept alive."""

    sock: socket.socket | None

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # mixed into connections only
        call: Call | None = getattr(_this_thread, "call", None)
        if call is not None:
            if not call.sent and time.monotonic() > call.ends:  # this process stood still; others have taken over
                raise TimeoutError("the time of this call was over before it was sent")
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
    """An adapter whose connections can be closed by `call_within`. It repeats nothing by itself."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our connection pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use them towards a proxy, too."""
        made = super().proxy_manager_for(proxy, **kwargs)
        made.pool_classes_by_scheme = POOLS
        return made


class _Session(requests.Session):
    """Reads no answer for its redirect: `requests` would read all of it, even where it must not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        del resp


def bounded_session(adapters: Mapping[str, HTTPAdapter]) -> requests.Session:
    """Return a session that takes nothing from the environment and remembers nothing between calls.

    Args:
        adapters: by URL prefix; they replace the standard ones.
    """
    session = _Session()
    session.trust_env = False  # no proxy and no .netrc that nobody of ours wrote
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for prefix, adapter in adapters.items():
        session.mount(prefix, adapter)
    return session


def cause_of(error: Exception) -> str:
    """Return what an error comes from, without the layers that `requests` and urllib3 wrap around it."""
    cause: Any = error.args[0] if error.args else error
    cause = getattr(cause, "reason", None) or cause
    text = " ".join(str(cause).split())
    return text.rsplit("): ", 1)[-1] if text.startswith(("_HTTP", "HTTP")) else text


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None if there is none that can be read.

    A date counts from the answer's own Date header, where there is one, so that no clock of ours matters.
    """
    wish = headers.get("Retry-After", "").strip()
    try:
        if wish.replace(".", "", 1).isdigit():
            return min(float(wish), MAX_RETRY_AFTER_S)
        sent = headers.get("Date")
        now = parsedate_to_datetime(sent) if sent else datetime.now(UTC)
        return min(max(0.0, (parsedate_to_datetime(wish) - now).total_seconds()), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return None
