"""The HTTP server of metrics and probes, over real connections."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.waiting import wait_until
from worker.cli.local.processes import free_port
from worker.telemetry import listener as listener_module
from worker.telemetry.listener import MAX_CONNECTIONS, MAX_REQUEST_BYTES, Answer, Listener, probe

problems: list[str] = []


@pytest.fixture(params=["127.0.0.1", "::1", "localhost"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    """A server on an address, with a probe and a route that shows the Accept header."""
    problems.clear()
    routes = {"/live": probe(lambda: problems), "/echo": lambda accept: Answer(accept.encode(), content_type="x/y")}
    running = Listener(request.param, free_port(), routes)
    running.start()
    yield running
    running.shutdown()
    running.server_close()


def ask(listener: Listener, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Return status, content type and body of an answer."""
    host, port = listener.server_address[:2]
    connection = http.client.HTTPConnection(str(host), int(port), timeout=5)
    connection.request(method, path, headers={"Accept": "a/b"})
    answer = connection.getresponse()
    try:
        return answer.status, str(answer.getheader("Content-Type")), answer.read().decode()
    finally:
        connection.close()


def test_a_probe_says_what_is_wrong(listener: Listener) -> None:
    """A probe answers 200 without a problem, and 503 with a line for each problem."""
    assert ask(listener, "/live")[::2] == (200, "ok\n")
    problems.extend(["a loop stands still", "and another one"])
    assert ask(listener, "/live?verbose=1")[::2] == (503, "a loop stands still\nand another one\n")


def test_other_paths_and_methods(listener: Listener) -> None:
    """An unknown path is 404, HEAD has no body, and other methods are refused."""
    assert ask(listener, "/")[0] == 404
    assert ask(listener, "/../live")[0] == 404
    assert ask(listener, "/live", "HEAD")[::2] == (200, "")
    assert ask(listener, "/live", "POST")[0] == 501


def test_a_route_sees_the_accept_header(listener: Listener) -> None:
    """A route gets the Accept header and names the content type of its answer."""
    assert ask(listener, "/echo") == (200, "x/y", "a/b")


def test_a_silent_client_delays_no_other(listener: Listener) -> None:
    """A client that connects and sends nothing, or half a request, does not delay the next one."""
    host, port = listener.server_address[:2]
    with socket.create_connection((str(host), int(port))), socket.create_connection((str(host), int(port))) as half:
        half.sendall(b"GET /live HTTP/1.1\r\nHost")
        assert ask(listener, "/live")[0] == 200


def connect(listener: Listener, text: bytes) -> socket.socket:
    """Return a connection over which a text was sent."""
    host, port = listener.server_address[:2]
    connection = socket.create_connection((str(host), int(port)), timeout=10)
    connection.sendall(text)
    return connection


def threads_of_connections() -> int:
    """Return how many connections have a thread."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server has closed a connection without an answer."""
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


one_address = pytest.mark.parametrize("listener", ["127.0.0.1"], indirect=True)


@one_address
def test_many_slow_clients_delay_no_probe(listener: Listener) -> None:
    """Hundreds of clients that never end their requests take a bounded number of threads, and probes are answered."""
    with contextlib.ExitStack() as stop:
        slow = [
            stop.enter_context(connect(listener, b"GET /live HTTP/1.1\r\nHost")) for _ in range(3 * MAX_CONNECTIONS)
        ]
        for _ in range(MAX_CONNECTIONS):
            assert ask(listener, "/live")[0] == 200
        wait_until(lambda: is_closed(slow[0]), "the slowest client is disconnected")
        wait_until(lambda: threads_of_connections() <= MAX_CONNECTIONS, "the threads are bounded")


@one_address
def test_a_long_request_is_refused(listener: Listener) -> None:
    """A request that is longer than the limit is not kept in memory: its connection is closed without an answer."""
    text = b"GET /live HTTP/1.1\r\nX: " + b"a" * MAX_REQUEST_BYTES
    with connect(listener, text) as long:
        wait_until(lambda: is_closed(long), "the connection is closed")
    assert ask(listener, "/live")[0] == 200


@one_address
def test_a_trickling_client_has_one_deadline(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is for the whole request: a client that sends a byte at times is disconnected too."""
    monkeypatch.setattr(listener_module, "CLIENT_TIMEOUT_S", 0.3)

    def refused() -> bool:
        with contextlib.suppress(ConnectionError):
            trickling.sendall(b"a")
        return is_closed(trickling)

    with connect(listener, b"GET /live HTTP/1.1\r\nX: ") as trickling:
        wait_until(refused, "the connection is closed")


def test_answers_in_progress_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While as many answers as allowed are in progress, a further connection is closed at once, and none of them."""
    monkeypatch.setattr(listener_module, "MAX_CONNECTIONS", 2)
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def slow_route(_: str) -> Answer:
        begun.release()
        go_on.wait(10)
        return Answer(b"ok")

    running = Listener("127.0.0.1", free_port(), {"/slow": slow_route})
    running.start()
    try:
        with connect(running, b"GET /slow HTTP/1.1\r\n\r\n") as first, connect(running, b"GET /slow HTTP/1.1\r\n\r\n"):
            assert begun.acquire(timeout=10)
            assert begun.acquire(timeout=10)
            with connect(running, b"") as third:
                wait_until(lambda: is_closed(third), "the third connection is closed")
            go_on.set()
            assert first.recv(100).startswith(b"HTTP/1.0 200")
    finally:
        go_on.set()
        running.shutdown()
        running.server_close()


def test_a_port_in_use_is_an_error(listener: Listener) -> None:
    """A second server on the same address raises an error."""
    host, port = listener.server_address[:2]
    with pytest.raises(OSError, match="in use"):
        Listener(str(host), int(port), {})
