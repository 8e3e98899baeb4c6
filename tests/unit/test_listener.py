"""The HTTP server of metrics and probes, over real connections."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from worker.cli.local.processes import free_port
from worker.telemetry.listener import Answer, Listener, probe

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


def test_a_port_in_use_is_an_error(listener: Listener) -> None:
    """A second server on the same address raises an error."""
    host, port = listener.server_address[:2]
    with pytest.raises(OSError, match="in use"):
        Listener(str(host), int(port), {})
