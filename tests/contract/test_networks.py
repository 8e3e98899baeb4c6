"""Networks between the service and its peers: idle connections, dead addresses, private CAs, proxies."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.contract.conftest import Names
from tests.contract.peers import Conversation, Peer, Script, answering, headers_of, listening, server_tls, tunnel
from tests.contract.sending import NOW, Senders, failed
from worker.domain.delivery import Delivery
from worker.domain.errors import Unavailable
from worker.http.deadline import call_within
from worker.photogpt.client import PhotoGPT
from worker.webhooks.sender import Accepted

OK = answering(200, b'{"status": "OK", "result": {}}')


@pytest.fixture
def client() -> Iterator[Callable[..., PhotoGPT]]:
    """Make clients of a base address."""
    made: list[PhotoGPT] = []

    def make(base_url: str, **settings: Any) -> PhotoGPT:
        usual: dict[str, Any] = {"api_key": "key", "api_connect_timeout_s": 2, "api_call_deadline_s": 5}
        made.append(PhotoGPT(Settings(**{"_env_file": None, "base_url": base_url} | usual | settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


Client = Callable[..., PhotoGPT]


def delivery(url: str, attempts: int = 0) -> Delivery:
    """Return a webhook with some failed attempts."""
    return Delivery(id="msg_1", type="job.succeeded", url=url, body="{}", job_id="job-1", attempts=attempts)


# -- idle connections -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_idle_s", "connections"), [(1e-9, 3), (60, 1)])
def test_an_idle_connection_to_a_receiver_is_not_used(send: Senders, max_idle_s: float, connections: int) -> None:
    """A webhook uses a kept-alive connection only if it was idle for less than the limit."""
    with Peer(answering(200, b"ok")) as peer:
        sender = send.sender(webhook_max_idle_s=max_idle_s)
        for _ in range(3):
            sender.send(delivery(peer.url), at=NOW)
        assert len(peer.conversations) == connections


def test_a_retry_opens_a_new_connection(send: Senders) -> None:
    """The retry of a webhook uses no kept-alive connection."""
    with Peer(answering(204)) as peer:
        sender = send.sender()
        sender.send(delivery(peer.url), at=NOW)
        sender.send(delivery(peer.url, attempts=1), at=NOW)
        assert len(peer.conversations) == 2


@pytest.mark.parametrize(("max_idle_s", "connections"), [(1e-9, 3), (60, 1)])
def test_an_idle_connection_to_the_api_is_not_used(client: Client, max_idle_s: float, connections: int) -> None:
    """A call to PhotoGPT uses a kept-alive connection only if it was idle for less than the limit."""
    with Peer(OK) as peer:
        photogpt = client(peer.url, api_max_idle_s=max_idle_s)
        for _ in range(3):
            photogpt.ping()
        assert len(peer.conversations) == connections


def test_a_dropped_idle_connection_loses_no_trigger(client: Client) -> None:
    """A connection that the network resets after its first answer breaks no later call that finds it too old."""

    def script(conversation: Conversation) -> None:
        if len([request for request in peer.requests if request]) == 1 or len(peer.conversations) > 1:
            OK(conversation)
        else:
            conversation.reset()

    with Peer(script) as peer:
        photogpt = client(peer.url, api_max_idle_s=1e-9)
        for _ in range(3):
            photogpt.ping()
        assert len(peer.requests) == 3


@pytest.mark.parametrize("through_proxy", [False, True])
def test_tcp_keep_alive_is_on(send: Senders, *, through_proxy: bool) -> None:
    """TCP asks the peer of a kept-alive connection whether it is still there."""
    with Peer(answering(204)) as peer:
        sender = send.sender(**{"webhook_proxy_url": peer.url} if through_proxy else {})
        with call_within(5) as call:
            sender._session.post(f"http://127.0.0.1:{peer.port}/", data=b"x", timeout=(2, 2))
        assert call.sock is not None
        assert call.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


# -- receivers with several addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"], ["::1"]])
def test_every_address_of_a_receiver_is_tried(send: Senders, names: Names, dead: list[str]) -> None:
    """A receiver whose first addresses refuse connections gets its webhook at the next; later ones go there at once."""
    names.lead("two.example", [*dead, "127.0.0.1"])
    with Peer(answering(204)) as peer:
        sender = send.sender(webhook_allow_networks="127.0.0.0/8,::1/128")
        accepted = sender.send(delivery(f"http://two.example:{peer.port}/"), at=NOW)
        assert accepted.address == "127.0.0.1"
        assert [address[0] for address in names.connected] == [*dead, "127.0.0.1"]
        names.connected.clear()
        sender.send(delivery(f"http://two.example:{peer.port}/", attempts=1), at=NOW)
        assert [address[0] for address in names.connected] == ["127.0.0.1"]
        assert headers_of(peer.requests[1])["host"] == f"two.example:{peer.port}"


def test_a_silent_address_leaves_time_for_the_next(send: Senders, names: Names, certificate: tuple[Path, Path]) -> None:
    """An address that accepts connections and says nothing does not use up the attempt's deadline."""
    names.lead("right.example", ["127.0.0.2", "127.0.0.1"])
    with Peer(answering(204), tls=server_tls(certificate)) as peer, socket.create_server(("127.0.0.2", peer.port)):
        sent = send(
            f"https://right.example:{peer.port}/",
            webhook_deadline_s=2,
            webhook_connect_timeout_s=2,
            webhook_ca_file=certificate[0],
        )
    assert isinstance(sent, Accepted)


def test_no_other_address_is_tried_after_the_request_was_sent(send: Senders, names: Names) -> None:
    """A receiver that broke the connection after the request may have the webhook: no other address gets it."""
    names.lead("two.example", ["127.0.0.2", "127.0.0.1"])
    with Peer(Conversation.reset, host="127.0.0.2") as first:
        assert failed(send(f"http://two.example:{first.port}/")).kind == "connection_error"
    assert {address[0] for address in names.connected} == {"127.0.0.2"}


def test_all_addresses_dead_is_a_connection_error(send: Senders, names: Names) -> None:
    """A receiver without a reachable address is a connection error, and a refused certificate is named before it."""
    names.lead("two.example", ["127.0.0.2", "127.0.0.3"])
    with listening() as (port, _):
        error = failed(send(f"http://two.example:{port}/"))
    assert (error.kind, error.final, len(names.connected)) == ("connection_error", False, 2)


def test_a_refused_certificate_is_not_hidden(send: Senders, names: Names, certificate: tuple[Path, Path]) -> None:
    """The error of a refused certificate is reported although another address is unreachable."""
    names.lead("right.example", ["127.0.0.1", "127.0.0.2"])
    with Peer(answering(204), tls=server_tls(certificate)) as peer:
        assert failed(send(f"https://right.example:{peer.port}/")).kind == "tls_error"


# -- the head of an answer decides ------------------------------------------------------------------------------------


def drips_after(head: bytes, slow: bytes) -> Script:
    """Send a head at once and the body byte by byte, without an end."""

    def script(conversation: Conversation) -> None:
        conversation.say(head)
        while not conversation.over.is_set():
            conversation.drip(slow)

    return script


START = b"HTTP/1.1 %d Whatever\r\n"
BODIES: dict[str, tuple[bytes, bytes]] = {
    "long": (b"Content-Length: 100000\r\n\r\n", b"x"),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "until the end": (b"\r\n", b"x"),
    "gzip": (b"Content-Encoding: gzip\r\n\r\n", b"no gzip"),
}


@pytest.mark.parametrize(("head", "slow"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("deadline", [0.5, 5])
def test_a_dripping_body_does_not_undo_an_acceptance(send: Senders, head: bytes, slow: bytes, deadline: float) -> None:
    """A receiver that answers 200 at once has accepted the webhook, however long its body takes."""
    with Peer(drips_after(START % 200 + head, slow)) as peer:
        sent = send(peer.url, webhook_deadline_s=deadline)
    assert isinstance(sent, Accepted)
    assert sent.duration_s < deadline
    assert sent.answer


@pytest.mark.parametrize(("head", "slow"), BODIES.values(), ids=BODIES)
def test_a_dripping_410_is_heard(send: Senders, head: bytes, slow: bytes) -> None:
    """A 410 whose body does not end disables the endpoint."""
    with Peer(drips_after(START % 410 + head, slow)) as peer:
        error = failed(send(peer.url, webhook_deadline_s=0.5))
    assert (error.kind, error.final, error.disable) == ("gone", True, "gone")


# -- odd answers ------------------------------------------------------------------------------------------------------

ODD: dict[str, bytes] = {
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "102 and 100 first": b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nthanks",
    "no length": b"HTTP/1.1 200 OK\r\n\r\nthanks",
    "length too large": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthanks",
    "length too small": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nthanks",
    "length no number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nthanks",
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nthanks",
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_with_2xx_is_accepted(send: Senders, answer: bytes) -> None:
    """An answer whose final head says 2xx is accepted, whatever comes before and after it."""

    def script(conversation: Conversation) -> None:
        conversation.say(answer)
        conversation.sock.close()

    with Peer(script) as peer:
        sent = send(peer.url)
    assert isinstance(sent, Accepted)
    assert sent.status in {200, 204}


def test_endless_informational_answers_are_a_timeout(send: Senders) -> None:
    """A receiver that sends informational answers only is left at the deadline."""

    def script(conversation: Conversation) -> None:
        while not conversation.over.wait(0.01):
            conversation.say(b"HTTP/1.1 102 Processing\r\n\r\n")

    with Peer(script) as peer:
        assert failed(send(peer.url, webhook_deadline_s=0.5)).kind == "timeout"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_receiver_with_ipv6_only(send: Senders, names: Names) -> None:
    """A receiver whose name has only an IPv6 address gets its webhook."""
    names.lead("six.example", ["::1"])
    with Peer(answering(204), host="::1") as peer:
        sent = send(f"http://six.example:{peer.port}/", webhook_allow_networks="::1/128")
    assert isinstance(sent, Accepted)
    assert sent.address == "::1"


# -- certificates of private authorities ------------------------------------------------------------------------------


def test_a_receiver_of_a_private_authority(send: Senders, certificate: tuple[Path, Path]) -> None:
    """A receiver with a certificate of a private authority is trusted through the setting that the error names."""
    with Peer(answering(204), tls=server_tls(certificate)) as peer:
        error = failed(send(peer.url))
        assert isinstance(send(peer.url, webhook_ca_file=certificate[0]), Accepted)
    assert error.kind == "tls_error"
    assert "PHOTOGPT_WEBHOOK_CA_FILE" in str(error)


def test_an_api_of_a_private_authority(client: Client, certificate: tuple[Path, Path]) -> None:
    """An API with a certificate of a private authority is trusted through the setting that the error names."""
    with Peer(OK, tls=server_tls(certificate)) as peer:
        with pytest.raises(Unavailable, match="PHOTOGPT_API_CA_FILE") as raised:
            client(peer.url).ping()
        client(peer.url, api_ca_file=certificate[0]).ping()
        assert len(peer.requests) == 1
    assert raised.value.definite


# -- a proxy in front of the API --------------------------------------------------------------------------------------


def test_the_api_through_a_proxy(client: Client) -> None:
    """A call to PhotoGPT goes through the proxy of the setting, which gets the login and resolves the name."""
    with Peer(OK) as proxy:
        client("http://api.invalid/v", api_proxy_url=proxy.url.replace("//", "//user:hunter2@")).ping()
        assert proxy.requests[0].startswith(b"GET http://api.invalid/v/ping HTTP/1.1")
        assert "proxy-authorization" in headers_of(proxy.requests[0])


def test_the_api_through_a_tunnel(client: Client, certificate: tuple[Path, Path]) -> None:
    """TLS with PhotoGPT goes through the proxy's tunnel, so that the proxy sees neither key nor prompt."""
    with Peer(OK, tls=server_tls(certificate)) as peer, Peer(tunnel(peer.port)) as proxy:
        client("https://right.example", api_proxy_url=proxy.url, api_ca_file=certificate[0]).ping()
        assert peer.requests[0].startswith(b"GET /ping")
        assert b"Bearer" not in proxy.requests[0]


@pytest.mark.parametrize("script", [answering(403), answering(407), answering(502), Conversation.reset])
def test_a_refused_tunnel_created_nothing(client: Client, script: Script) -> None:
    """An error of a proxy before its tunnel opens is definite: PhotoGPT got nothing."""
    with Peer(script) as proxy, pytest.raises(Unavailable, match="PHOTOGPT_API_PROXY_URL") as raised:
        client("https://api.invalid", api_proxy_url=proxy.url.replace("//", "//user:hunter2@")).ping()
    assert raised.value.definite
    assert "hunter2" not in str(raised.value)


def test_a_silent_proxy_created_nothing(client: Client) -> None:
    """A proxy that does not answer before the deadline is a definite error."""
    with Peer(Conversation.silence) as proxy, pytest.raises(Unavailable) as raised:
        client(
            "https://api.invalid", api_proxy_url=proxy.url, api_call_deadline_s=0.5, api_connect_timeout_s=0.5
        ).ping()
    assert raised.value.definite


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"])
def test_an_ignored_proxy_variable_is_named(client: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a refused connection says that the environment's proxy is ignored, why, and what to set."""
    monkeypatch.setenv(name, "http://user:hunter2@127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unavailable, match=f"{name} of the environment is ignored.*PHOTOGPT_API_PROXY_URL") as raised:
        client(f"http://127.0.0.1:{port}").ping()
    assert "hunter2" not in str(raised.value)
