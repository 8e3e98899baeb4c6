"""HTTP calls with a wall-clock deadline and a size limit, over `requests`.

The timeouts of `requests` bound the time between two bytes, not the call: a peer that sends one byte a second holds it
for ever. Here a call registers its connection, and one thread closes the sockets of calls past their deadline.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import requests

from worker.http.errors import AnswerTooLarge, DeadlineExceeded

CHECK_INTERVAL_S = 0.1
MAX_IDLE_S = 4.0


class Call:
    """One call of this thread."""

    def __init__(self, seconds: float, max_idle_s: float) -> None:
        self.ends = time.monotonic() + seconds
        self.max_idle_s = max_idle_s
        self.sock: socket.socket | None = None
        #: Bytes of the request may have been sent.
        self.sent = False
        #: The head of the answer is enough: a deadline that passes while its body is read is no error.
        self.answered = False
        self.expired = False

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.ends - time.monotonic()

    @property
    def peer(self) -> str:
        """The IP address of the connection; empty without one."""
        try:
            return str(self.sock.getpeername()[0]) if self.sock is not None else ""
        except OSError:  # closed
            return ""

    def abort(self) -> None:
        """Shut the socket down, which ends a read or write on it."""
        self.expired = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # not SSLSocket.shutdown: a thread may be reading


_this_thread = threading.local()


def current_call() -> Call | None:
    """Return the call of this thread, or None outside `call_within`."""
    return getattr(_this_thread, "call", None)


class _Watchdog:
    """A thread that aborts calls past their deadline."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._has_calls = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread if it does not run."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                thread.start()
                self._thread = thread

    def add(self, call: Call) -> None:
        """Watch a call."""
        self.start()
        with self._lock:
            self._calls.add(call)
            self._has_calls.set()

    def remove(self, call: Call) -> None:
        """Stop watching a call."""
        with self._lock:
            self._calls.discard(call)

    def _run(self) -> None:
        while True:
            self._has_calls.wait()
            time.sleep(CHECK_INTERVAL_S)
            now = time.monotonic()
            with self._lock:  # also while aborting: the connection of a call that has returned may serve another one
                for call in self._calls:
                    if call.ends < now:
                        call.abort()
                if not self._calls:
                    self._has_calls.clear()


_watchdog = _Watchdog()


def start_watchdog() -> None:
    """Start the thread that aborts calls past their deadline; else the first call starts it.

    Raises:
        RuntimeError: no thread can start.
    """
    _watchdog.start()


@contextlib.contextmanager
def call_within(seconds: float, *, max_idle_s: float = MAX_IDLE_S) -> Iterator[Call]:
    """Bound the HTTP calls of this thread inside the block; yield a `Call` that says whether bytes were sent.

    Args:
        seconds: until the deadline.
        max_idle_s: a kept-alive connection that was not used for longer is closed, and a new one is opened; 0 opens a
            new connection in any case.

    Raises:
        DeadlineExceeded: the deadline passed before the answer was read.
    """
    call = Call(seconds, max_idle_s)
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
    if call.expired and not call.answered:
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
