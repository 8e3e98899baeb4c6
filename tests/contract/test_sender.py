"""One attempt to deliver a webhook, against real receivers."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from config.settings import Settings
from tests.contract.peers import Conversation, Peer, Script, answering, headers_of, server_tls
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker import __version__
from worker.domain.delivery import Delivery
from worker.domain.errors import DeliveryError
from worker.webhooks.sender import Accepted, WebhookSender

BODY = json.dumps({"type": "job.succeeded", "data": {"name": "Häfen \N{SNOWMAN}"}}, ensure_ascii=False)
NOW = 1_800_000_000.9
SECOND_SECRET = "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZC1z"


def delivery(url: str) -> Delivery:
    """Return a webhook to a URL."""
    return Delivery(id="msg_1", type="job.succeeded", url=url, body=BODY, job_id="job-1")


Make = Callable[..., WebhookSender]


@pytest.fixture
def make() -> Iterator[Make]:
    """Create senders; loopback is allowed by default."""
    made: list[WebhookSender] = []

    def sender(**settings: Any) -> WebhookSender:
        usual: dict[str, Any] = {
            "webhook_allow_networks": "127.0.0.0/8",
            "webhook_secrets": WEBHOOK_SECRET,
            "webhook_deadline_s": 20,  # a busy machine is no finding
        }
        made.append(WebhookSender(Settings(**{"_env_file": None} | usual | settings)))
        return made[-1]

    yield sender
    for each in made:
        each.close()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_accepted(make: Make, status: int) -> None:
    """Any 2xx answer counts as accepted."""
    with Peer(answering(status, b"" if status == 204 else b"thanks")) as peer:
        accepted = make().send(delivery(peer.url), at=NOW)
    assert isinstance(accepted, Accepted)
    assert accepted.status == status
    assert accepted.duration_s > 0


def test_a_receiver_gets_signed_stored_bytes(make: Make) -> None:
    """The receiver gets the stored bytes, signed with every secret, and no credentials."""
    with Peer(answering(204)) as peer:
        make(webhook_secrets=f"{WEBHOOK_SECRET},{SECOND_SECRET}").send(delivery(f"{peer.url}/a?b=c"), at=NOW)
        (request,) = peer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /a?b=c HTTP/1.1"
    assert body == BODY.encode()
    headers = headers_of(request)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1800000000")
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"photogpt-worker/{__version__}"
    assert "authorization" not in headers
    assert "cookie" not in headers
    signatures = headers["webhook-signature"].split(" ")
    for secret, token in zip((WEBHOOK_SECRET, SECOND_SECRET), signatures, strict=True):
        stamp = datetime.fromtimestamp(1_800_000_000, UTC)
        assert token == Webhook(secret).sign("msg_1", stamp, body.decode())


def test_without_secrets_there_is_no_signature(make: Make) -> None:
    """Without secrets, the signature header is absent."""
    with Peer(answering(204)) as peer:
        make(webhook_secrets="").send(delivery(peer.url), at=NOW)
        assert "webhook-signature" not in headers_of(peer.requests[0])


def test_connections_are_kept(make: Make) -> None:
    """Webhooks to one receiver use one connection."""
    with Peer(answering(200, b"ok")) as peer:
        sender = make()
        for _ in range(3):
            sender.send(delivery(peer.url), at=NOW)
        assert len(peer.conversations) == 1


ERRORS: list[tuple[int, tuple[str, ...], str, bool, float | None]] = [
    (301, ("Location: https://elsewhere.example/",), "redirect", False, None),
    (302, ("Location: /again",), "redirect", False, None),
    (307, ("Location: http://169.254.169.254/",), "redirect", False, None),
    (308, ("Location: http://[",), "redirect", False, None),
    (302, (), "redirect", False, None),
    (304, (), "redirect", False, None),
    (400, (), "http_4xx", False, None),
    (401, (), "http_4xx", False, None),
    (404, (), "http_4xx", False, None),
    (410, (), "gone", True, None),
    (429, ("Retry-After: 120",), "http_4xx", False, 120),
    (429, ("Retry-After: whenever",), "http_4xx", False, None),
    (500, (), "http_5xx", False, None),
    (503, ("Retry-After: 7",), "http_5xx", False, 7),
]


@pytest.mark.parametrize(("status", "headers", "kind", "final", "retry_after"), ERRORS)
def test_error_answers_are_classified(
    make: Make, status: int, headers: tuple[str, ...], kind: str, retry_after: float | None, *, final: bool
) -> None:
    """An error answer has a kind and its Retry-After; only 410 is final."""
    body = b"" if status == 304 else b"<b>no\n  thanks</b>"
    with Peer(answering(status, body, *headers)) as peer:
        with pytest.raises(DeliveryError) as raised:
            make().send(delivery(peer.url), at=NOW)
        assert len(peer.requests) == 1
    error = raised.value
    assert (error.kind, error.status, error.final, error.retry_after) == (kind, status, final, retry_after)
    assert str(error).startswith(f"the receiver answered {status}")
    assert "\n" not in str(error)


@pytest.mark.parametrize("status", [302, 400])
def test_the_message_quotes_the_answer(make: Make, status: int) -> None:
    """The error message quotes the start of the receiver's answer."""
    script = answering(status, b"the tunnel is closed " * 100, "Location: /x")
    with Peer(script) as peer, pytest.raises(DeliveryError, match="the tunnel is closed") as raised:
        make().send(delivery(peer.url), at=NOW)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_huge_answer_is_not_read(make: Make, status: int) -> None:
    """The remainder of a huge answer is neither read nor decompressed."""

    def script(conversation: Conversation) -> None:
        head = f"HTTP/1.1 {status} X\r\nLocation: /x\r\nContent-Encoding: gzip\r\nContent-Length: 40000000\r\n\r\n"
        conversation.say(head.encode() + gzip.compress(b"\0" * 1_000_000))
        for _ in range(40):
            conversation.say(b"x" * 1_000_000)

    with Peer(script) as peer:
        sender = make()
        if status == 200:
            assert sender.send(delivery(peer.url), at=NOW).status == 200
        else:
            with pytest.raises(DeliveryError, match=f"the receiver answered {status}"):
                sender.send(delivery(peer.url), at=NOW)
        wait_until(lambda: peer.conversations[0].left, "the receiver sees that the client has gone", within=2)


def drips(conversation: Conversation) -> None:
    """Send a head that never ends, byte by byte."""
    conversation.drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 200)


def hangs_up(conversation: Conversation) -> None:
    """Read the webhook and close."""
    conversation.sock.close()


def no_http(conversation: Conversation) -> None:
    """Answer in another protocol."""
    conversation.say(b"220 smtp.example ESMTP\r\n")
    conversation.sock.close()


FAULTS: list[tuple[str, Script, str]] = [
    ("drips", drips, "timeout"),
    ("says nothing", Conversation.silence, "timeout"),
    ("resets", Conversation.reset, "connection_error"),
    ("hangs up", hangs_up, "connection_error"),
    ("speaks no HTTP", no_http, "connection_error"),
]


@pytest.mark.parametrize(("script", "kind"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_receiver_that_does_not_answer(make: Make, script: Script, kind: str) -> None:
    """An attempt without an answer is a timeout or a connection error, and not final."""
    with Peer(script) as peer, pytest.raises(DeliveryError) as raised:
        make(webhook_deadline_s=0.4).send(delivery(peer.url), at=NOW)
    assert (raised.value.kind, raised.value.final, raised.value.status) == (kind, False, None)


def breaks_off(conversation: Conversation) -> None:
    """Announce a body and close."""
    conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    conversation.sock.close()


def falls_silent(conversation: Conversation) -> None:
    """Announce a body and send nothing."""
    conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    conversation.silence()


def breaks_a_chunk(conversation: Conversation) -> None:
    """Send an invalid chunk and close."""
    conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    conversation.sock.close()


@pytest.mark.parametrize("script", [breaks_off, falls_silent, breaks_a_chunk])
@pytest.mark.parametrize("read_timeout", [0.2, 10])
def test_an_incomplete_body_is_an_answer_or_an_error(make: Make, script: Script, read_timeout: float) -> None:
    """An incomplete body raises nothing except a DeliveryError that is not final."""
    with Peer(script) as peer:
        try:
            status = (
                make(webhook_deadline_s=0.4, webhook_read_timeout_s=read_timeout)
                .send(delivery(peer.url), at=NOW)
                .status
            )
        except DeliveryError as error:
            status = 0 if not error.final else -1
    assert status in {0, 200}


def test_a_closed_port_is_a_connection_error(make: Make) -> None:
    """An attempt at a closed port is a connection error, and not final."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DeliveryError) as raised:
        make().send(delivery(f"http://127.0.0.1:{port}/"), at=NOW)
    assert (raised.value.kind, raised.value.final) == ("connection_error", False)


def test_an_address_that_is_refused_ends_the_attempts(make: Make) -> None:
    """An attempt at a forbidden address is final and opens no connection."""
    with Peer(answering(204)) as peer:
        with pytest.raises(DeliveryError) as raised:
            make(webhook_allow_networks="").send(delivery(peer.url), at=NOW)
        assert peer.conversations == []
    assert (raised.value.kind, raised.value.final) == ("address_refused", True)


def test_a_certificate_for_another_name_is_refused(
    make: Make, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate for another name is refused, although the address is pinned."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *args, **more: real("127.0.0.1", *args, **more))
    sender = make(webhook_ca_file=certificate[0])
    with Peer(answering(204), tls=server_tls(certificate)) as peer:
        assert sender.send(delivery(f"https://right.example:{peer.port}/"), at=NOW).status == 204
        with pytest.raises(DeliveryError, match=r"wrong\.example") as raised:
            sender.send(delivery(f"https://wrong.example:{peer.port}/"), at=NOW)
        assert len(peer.requests) == 1
    assert raised.value.kind == "tls_error"


def test_an_untrusted_certificate_is_refused(make: Make, certificate: tuple[Path, Path]) -> None:
    """A certificate of an unknown authority is refused before anything is sent."""
    with Peer(answering(204), tls=server_tls(certificate)) as peer:
        with pytest.raises(DeliveryError) as raised:
            make().send(delivery(peer.url), at=NOW)
        assert peer.requests == []
    assert (raised.value.kind, raised.value.final) == ("tls_error", False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:0/",
        "http://.example/",
        "http://a..b/",
        "http://" + "a" * 70 + ".example/",
        "http://127.0.0.1 /",
        "http://[::1%25nowhere]/",
        "http://exa_mple.invalid./",
        "http://xn--a/",
        "http://\N{SNOWMAN}.invalid/",
        "http://127.0.0.1:9/\x00",
        "http://*/",
    ],
)
def test_an_odd_url_is_a_delivery_error(make: Make, url: str) -> None:
    """A malformed URL raises a DeliveryError and nothing else."""
    with pytest.raises(DeliveryError):
        make().send(delivery(url), at=NOW)
