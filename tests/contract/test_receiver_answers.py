"""Control headers of receivers, the answer in the history, ports and schemes, and proxies."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.contract.peers import Conversation, Peer, Script, answering, headers_of, server_tls, tunnel
from tests.contract.sending import NOW, Senders, failed
from tests.running import WEBHOOK_SECRET
from worker.domain.delivery import Delivery
from worker.webhooks.sender import MAX_ANSWER_BYTES, Accepted

ED25519 = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="


# -- control headers --------------------------------------------------------------------------------------------------

CONTROLS = [
    (500, "abort-message", True, ""),
    (500, "Abort-Message ", True, ""),
    (404, "disable", True, "asked"),
    (302, "disable", True, "asked"),
    (410, "", True, "gone"),
    (410, "abort-message", True, "gone"),
    (500, "pause", False, ""),
    (500, "", False, ""),
]


@pytest.mark.parametrize(("status", "control", "final", "disable"), CONTROLS)
def test_a_receiver_ends_the_attempts(send: Senders, status: int, control: str, disable: str, *, final: bool) -> None:
    """A control header or 410 ends the attempts of a webhook or disables the endpoint."""
    with Peer(answering(status, b"", *([f"Webhook-Delivery: {control}"] if control else []))) as peer:
        error = failed(send(peer.url))
    assert (error.final, error.disable, error.endpoint_at_fault) == (final, disable, True)


@pytest.mark.parametrize(("control", "disable"), [("disable", True), ("abort-message", False), ("", False)])
def test_a_receiver_may_accept_and_disable(send: Senders, control: str, *, disable: bool) -> None:
    """A receiver can accept a webhook and disable its endpoint in one answer."""
    with Peer(answering(200, b"", f"webhook-delivery: {control}")) as peer:
        accepted = send(peer.url)
    assert isinstance(accepted, Accepted)
    assert accepted.disable is disable


# -- the beginning of an answer ---------------------------------------------------------------------------------------

LONG = "ü" * MAX_ANSWER_BYTES
ANSWERS: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "text": ("Grüße\n".encode(), {"answer": "Grüße\n"}),
    "no text": (b"\xff\xfe\x00", {"answer_base64": base64.b64encode(b"\xff\xfe\x00").decode()}),
    "long": (b"x" + LONG.encode(), {"answer": "x" + LONG[: (MAX_ANSWER_BYTES - 1) // 2]}),
}


@pytest.mark.parametrize(("answer", "recorded"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("status", [200, 500])
def test_a_kilobyte_of_the_answer_is_kept(send: Senders, status: int, answer: bytes, recorded: dict[str, str]) -> None:
    """The first kilobyte of an answer is recorded, as text or base64, cut between two characters."""
    with Peer(answering(status, answer)) as peer:
        outcome = send(peer.url)
    assert outcome.answer == recorded
    assert outcome.duration_s is not None
    assert outcome.duration_s > 0


def test_an_attempt_without_an_answer_has_a_duration(send: Senders) -> None:
    """An attempt without an answer has a duration and no answer in the history."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failed(send(f"http://127.0.0.1:{port}/"))
    assert (error.kind, error.answer) == ("connection_error", {})
    assert error.duration_s is not None


def test_both_signatures_are_sent_in_one_header(send: Senders) -> None:
    """A webhook signed with a shared secret and an ed25519 key has both tokens in one header."""
    with Peer(answering(204)) as peer:
        send(peer.url, webhook_secrets=f"{WEBHOOK_SECRET},{ED25519}")
        tokens = headers_of(peer.requests[0])["webhook-signature"].split(" ")
    assert [token.partition(",")[0] for token in tokens] == ["v1", "v1a"]


# -- ports and schemes ------------------------------------------------------------------------------------------------


def test_a_port_that_is_not_listed_is_refused(send: Senders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is not listed is refused without a connection, and a listed one is connected to."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *args, **more: real("8.8.8.8", *args, **more))
    connected: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    error = failed(send("https://good.example:6379/"))
    assert (error.kind, error.final, error.endpoint_at_fault, connected) == ("port_refused", True, False, [])
    assert "6379" in str(error)
    assert failed(send("https://good.example:6379/", webhook_ports="443,6379")).kind == "connection_error"
    assert failed(send("https://good.example/")).kind == "connection_error"
    assert connected == [("8.8.8.8", 6379), ("8.8.8.8", 443)]


def test_a_scheme_that_is_not_listed_is_refused(send: Senders) -> None:
    """A scheme that is not listed is refused without a connection."""
    with Peer(answering(204)) as peer:
        error = failed(send(peer.url, webhook_schemes="https"))
        assert peer.conversations == []
    assert (error.kind, error.final) == ("scheme_refused", True)


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"])
def test_a_proxy_of_the_environment_is_ignored(send: Senders, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is ignored."""
    with Peer(answering(204)) as peer, Peer(answering(502)) as planted:
        monkeypatch.setenv(name, planted.url)
        assert isinstance(send(peer.url), Accepted)
        assert planted.conversations == []


def test_a_netrc_is_ignored(send: Senders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in .netrc is not sent."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login root password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with Peer(answering(204)) as peer:
        assert isinstance(send(peer.url), Accepted)
        assert "authorization" not in headers_of(peer.requests[0])


# -- a proxy that was asked for ---------------------------------------------------------------------------------------


def test_a_webhook_goes_through_the_proxy(send: Senders) -> None:
    """A webhook through a proxy leaves the name to the proxy to resolve."""
    with Peer(answering(204)) as proxy:
        assert isinstance(send("http://inside.invalid/hook", webhook_proxy_url=proxy.url), Accepted)
        assert proxy.requests[0].startswith(b"POST http://inside.invalid/hook HTTP/1.1")


def test_tls_goes_through_a_tunnel(send: Senders, certificate: tuple[Path, Path]) -> None:
    """A webhook over TLS goes through a proxy's tunnel, and the receiver's certificate is checked."""
    with Peer(answering(204), tls=server_tls(certificate)) as peer, Peer(tunnel(peer.port)) as proxy:
        sender = send.sender(webhook_proxy_url=proxy.url, webhook_ca_file=certificate[0])
        delivery = Delivery(id="msg_1", type="x", url="https://right.example/hook", body="{}", job_id="j")
        assert sender.send(delivery, at=NOW).status == 204
        assert proxy.requests[0].startswith(b"CONNECT right.example:443 HTTP/1.")
        assert peer.requests[0].startswith(b"POST /hook HTTP/1.1")


def drips(conversation: Conversation) -> None:
    """Send a head that never ends, byte by byte."""
    conversation.drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 400)


def test_the_deadline_holds_through_a_proxy(send: Senders) -> None:
    """The deadline ends an attempt at a slow receiver behind a proxy."""
    with Peer(drips) as proxy:
        error = failed(send("http://slow.invalid/", webhook_proxy_url=proxy.url, webhook_deadline_s=0.4))
    assert (error.kind, error.endpoint_at_fault) == ("timeout", True)


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_refused_tunnel_is_a_proxy_error(send: Senders, status: int) -> None:
    """A refused tunnel is a proxy error, is not final, and does not count against the endpoint."""
    with Peer(answering(status)) as proxy:
        error = failed(send("https://inside.invalid/", webhook_proxy_url=proxy.url))
    assert (error.kind, error.endpoint_at_fault, error.final) == ("proxy_error", False, False)


BROKEN_TUNNELS: dict[str, Script] = {
    "reset": Conversation.reset,
    "closed": lambda conversation: conversation.sock.shutdown(socket.SHUT_RDWR),
    "no HTTP": lambda conversation: conversation.say(b"220 mail.example ESMTP\r\n\r\n"),
}


@pytest.mark.parametrize("script", BROKEN_TUNNELS.values(), ids=BROKEN_TUNNELS)
def test_a_broken_tunnel_is_a_proxy_error(send: Senders, script: Script) -> None:
    """A proxy that breaks CONNECT off does not count against the endpoint, and the webhook is sent again."""
    with Peer(script) as proxy:
        error = failed(send("https://inside.invalid/", webhook_proxy_url=proxy.url))
    assert (error.kind, error.endpoint_at_fault, error.final) == ("proxy_error", False, False)


def test_a_proxy_that_requires_authentication_is_a_proxy_error(send: Senders) -> None:
    """A 407 without a tunnel is a proxy error whose message hides the password."""
    with Peer(answering(407)) as proxy:
        url = proxy.url.replace("//", "//user:hunter2@")
        error = failed(send("http://inside.invalid/", webhook_proxy_url=url))
        assert "proxy-authorization" in headers_of(proxy.requests[0])
    assert (error.kind, error.endpoint_at_fault) == ("proxy_error", False)
    assert "hunter2" not in str(error)


def test_an_unreachable_proxy_is_a_proxy_error(send: Senders) -> None:
    """An unreachable proxy is a proxy error whose message hides the password."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failed(send("http://inside.invalid/", webhook_proxy_url=f"http://u:hunter2@127.0.0.1:{port}"))
    assert (error.kind, error.endpoint_at_fault) == ("proxy_error", False)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:169.254.169.254]"])
def test_a_forbidden_address_itself_does_not_reach_the_proxy(send: Senders, host: str) -> None:
    """A literal forbidden address is refused before the proxy is connected to."""
    with Peer(answering(204)) as proxy:
        error = failed(send(f"http://{host}/", webhook_proxy_url=proxy.url))
        assert proxy.conversations == []
    assert (error.kind, error.final) == ("address_refused", True)


def test_ports_are_checked_before_the_proxy(send: Senders) -> None:
    """Through a proxy, only listed ports and ports of allowed addresses are used."""
    with Peer(answering(204)) as proxy:
        assert failed(send("http://inside.invalid:25/", webhook_proxy_url=proxy.url)).kind == "port_refused"
        assert proxy.conversations == []
        assert isinstance(send("http://127.0.0.1:25/", webhook_proxy_url=proxy.url), Accepted)
        assert isinstance(send("http://8.8.8.8/", webhook_proxy_url=proxy.url), Accepted)
