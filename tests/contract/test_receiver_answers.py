"""What a receiver can say besides yes and no, what the history keeps of it, and the way through a proxy."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.contract.peers import Conversation, Peer, answering, headers_of, server_tls
from tests.running import WEBHOOK_SECRET
from worker.domain.delivery import Delivery
from worker.domain.errors import DeliveryError
from worker.webhooks.sender import KEPT_ANSWER_BYTES, Accepted, WebhookSender

NOW = 1_800_000_000.0
ED25519 = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="


class Sent:
    """Sends webhooks, each with settings of its own."""

    def __init__(self) -> None:
        """Begin."""
        self._made: list[WebhookSender] = []

    def sender(self, **settings: Any) -> WebhookSender:
        """Return a sender; loopback is allowed unless said otherwise."""
        usual: dict[str, Any] = {
            "webhook_allow_networks": "127.0.0.0/8",
            "webhook_secrets": WEBHOOK_SECRET,
            "webhook_deadline_s": 5,
        }
        self._made.append(WebhookSender(Settings(**{"_env_file": None} | usual | settings)))
        return self._made[-1]

    def __call__(self, url: str, **settings: Any) -> Accepted | DeliveryError:
        """Send one, and return what came of it."""
        delivery = Delivery(id="msg_1", type="job.succeeded", url=url, body="{}", job_id="job-1")
        try:
            return self.sender(**settings).send(delivery, at=NOW)
        except DeliveryError as error:
            return error

    def close(self) -> None:
        """Close every connection."""
        for sender in self._made:
            sender.close()


@pytest.fixture
def send() -> Iterator[Sent]:
    """Send webhooks as the worker does."""
    made = Sent()
    yield made
    made.close()


def failed(outcome: Accepted | DeliveryError) -> DeliveryError:
    """Return the error that it must be."""
    assert isinstance(outcome, DeliveryError)
    return outcome


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
def test_a_receiver_ends_the_attempts(send: Sent, status: int, control: str, disable: str, *, final: bool) -> None:
    """This one's, or all that would come."""
    with Peer(answering(status, b"", *([f"Webhook-Delivery: {control}"] if control else []))) as peer:
        error = failed(send(peer.url))
    assert (error.final, error.disable, error.endpoint_at_fault) == (final, disable, True)


@pytest.mark.parametrize(("control", "disable"), [("disable", True), ("abort-message", False), ("", False)])
def test_a_receiver_may_take_it_and_want_no_more(send: Sent, control: str, *, disable: bool) -> None:
    """There is nothing to abort about what was taken."""
    with Peer(answering(200, b"", f"webhook-delivery: {control}")) as peer:
        taken = send(peer.url)
    assert isinstance(taken, Accepted)
    assert taken.disable is disable


# -- the beginning of an answer ---------------------------------------------------------------------------------------

LONG = "ü" * KEPT_ANSWER_BYTES
ANSWERS: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "text": ("Grüße\n".encode(), {"answer": "Grüße\n"}),
    "no text": (b"\xff\xfe\x00", {"answer_base64": base64.b64encode(b"\xff\xfe\x00").decode()}),
    "long": (b"x" + LONG.encode(), {"answer": "x" + LONG[: (KEPT_ANSWER_BYTES - 1) // 2]}),
}


@pytest.mark.parametrize(("said", "kept"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("status", [200, 500])
def test_a_kilobyte_of_the_answer_is_kept(send: Sent, status: int, said: bytes, kept: dict[str, str]) -> None:
    """As text, or as base64 where it is none; cut between two characters."""
    with Peer(answering(status, said)) as peer:
        outcome = send(peer.url)
    assert outcome.answer == kept
    assert outcome.duration_s is not None
    assert outcome.duration_s > 0


def test_an_attempt_without_an_answer_has_a_duration(send: Sent) -> None:
    """How long it took to be refused tells a dead host from a dead service."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failed(send(f"http://127.0.0.1:{port}/"))
    assert (error.kind, error.answer) == ("connection_error", {})
    assert error.duration_s is not None


def test_both_signatures_travel_in_one_header(send: Sent) -> None:
    """v1 for those who share a secret, v1a for those who hold the public key."""
    with Peer(answering(204)) as peer:
        send(peer.url, webhook_secrets=f"{WEBHOOK_SECRET},{ED25519}")
        tokens = headers_of(peer.requests[0])["webhook-signature"].split(" ")
    assert [token.partition(",")[0] for token in tokens] == ["v1", "v1a"]


# -- ports and schemes ------------------------------------------------------------------------------------------------


def test_a_port_that_is_not_listed_is_refused(send: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a connection opens; inside the allowed networks every port is open."""
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


def test_a_scheme_that_is_not_listed_is_refused(send: Sent) -> None:
    """Whoever wants https only says so."""
    with Peer(answering(204)) as peer:
        error = failed(send(peer.url, webhook_schemes="https"))
        assert peer.conversations == []
    assert (error.kind, error.final) == ("scheme_refused", True)


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"])
def test_a_proxy_of_the_environment_is_ignored(send: Sent, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would decide which addresses are open, and nobody of ours wrote it."""
    with Peer(answering(204)) as peer, Peer(answering(502)) as planted:
        monkeypatch.setenv(name, planted.url)
        assert isinstance(send(peer.url), Accepted)
        assert planted.conversations == []


def test_a_netrc_is_ignored(send: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No password of somebody's goes to a receiver."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login root password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with Peer(answering(204)) as peer:
        assert isinstance(send(peer.url), Accepted)
        assert "authorization" not in headers_of(peer.requests[0])


# -- a proxy that was asked for ---------------------------------------------------------------------------------------


def test_a_webhook_goes_through_the_proxy(send: Sent) -> None:
    """Names are the proxy's to resolve: here nothing looks them up."""
    with Peer(answering(204)) as proxy:
        assert isinstance(send("http://inside.invalid/hook", webhook_proxy_url=proxy.url), Accepted)
        assert proxy.requests[0].startswith(b"POST http://inside.invalid/hook HTTP/1.1")


def tunnel(target: int) -> Any:
    """Be a proxy that opens one tunnel to a port on this machine, whatever it is asked for."""

    def script(conversation: Conversation) -> None:
        with socket.create_connection(("127.0.0.1", target)) as there:
            conversation.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
            there.setblocking(False)
            conversation.sock.setblocking(False)
            pump(conversation, there)

    return script


def pump(conversation: Conversation, there: socket.socket) -> None:
    """Carry bytes both ways until one side closes."""
    while not conversation.over.wait(0.005):
        for source, sink in ((conversation.sock, there), (there, conversation.sock)):
            try:
                data = source.recv(65536)
            except BlockingIOError:
                continue
            if not data:
                return
            sink.sendall(data)


def test_tls_goes_through_a_tunnel(send: Sent, certificate: tuple[Path, Path]) -> None:
    """The proxy sees the host's name, and nothing of the webhook; the receiver's certificate is checked."""
    with Peer(answering(204), tls=server_tls(certificate)) as peer, Peer(tunnel(peer.port)) as proxy:
        sender = send.sender(webhook_proxy_url=proxy.url)
        sender._session.verify = str(certificate[0])
        delivery = Delivery(id="msg_1", type="x", url="https://right.example/hook", body="{}", job_id="j")
        assert sender.send(delivery, at=NOW).status == 204
        assert proxy.requests[0].startswith(b"CONNECT right.example:443 HTTP/1.")
        assert peer.requests[0].startswith(b"POST /hook HTTP/1.1")


def drips(conversation: Conversation) -> None:
    """A head whose end never comes."""
    conversation.drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 400)


def test_the_deadline_holds_through_a_proxy(send: Sent) -> None:
    """A receiver behind it drips."""
    with Peer(drips) as proxy:
        error = failed(send("http://slow.invalid/", webhook_proxy_url=proxy.url, webhook_deadline_s=0.4))
    assert (error.kind, error.endpoint_at_fault) == ("timeout", True)


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_tunnel_that_is_refused_is_the_proxys_doing(send: Sent, status: int) -> None:
    """It is tried again, and not held against the endpoint."""
    with Peer(answering(status)) as proxy:
        error = failed(send("https://inside.invalid/", webhook_proxy_url=proxy.url))
    assert (error.kind, error.endpoint_at_fault, error.final) == ("proxy_error", False, False)


def test_a_proxy_that_wants_another_login_is_at_fault(send: Sent) -> None:
    """Also without a tunnel; its password stays out of the message."""
    with Peer(answering(407)) as proxy:
        url = proxy.url.replace("//", "//user:hunter2@")
        error = failed(send("http://inside.invalid/", webhook_proxy_url=url))
        assert "proxy-authorization" in headers_of(proxy.requests[0])
    assert (error.kind, error.endpoint_at_fault) == ("proxy_error", False)
    assert "hunter2" not in str(error)


def test_a_proxy_that_is_not_there_is_at_fault(send: Sent) -> None:
    """Nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failed(send("http://inside.invalid/", webhook_proxy_url=f"http://u:hunter2@127.0.0.1:{port}"))
    assert (error.kind, error.endpoint_at_fault) == ("proxy_error", False)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:169.254.169.254]"])
def test_a_forbidden_address_itself_does_not_reach_the_proxy(send: Sent, host: str) -> None:
    """What can be judged here is; loopback is on the allow list of this test, its IPv6 is not."""
    with Peer(answering(204)) as proxy:
        error = failed(send(f"http://{host}/", webhook_proxy_url=proxy.url))
        assert proxy.conversations == []
    assert (error.kind, error.final) == ("address_refused", True)


def test_ports_are_kept_through_a_proxy(send: Sent) -> None:
    """Those that are listed, and any of an allowed address."""
    with Peer(answering(204)) as proxy:
        assert failed(send("http://inside.invalid:25/", webhook_proxy_url=proxy.url)).kind == "port_refused"
        assert proxy.conversations == []
        assert isinstance(send("http://127.0.0.1:25/", webhook_proxy_url=proxy.url), Accepted)
        assert isinstance(send("http://8.8.8.8/", webhook_proxy_url=proxy.url), Accepted)
