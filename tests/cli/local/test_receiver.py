"""The receiver of `demo` and `webhooks listen`."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from config.webhook_keys import decode_webhook_secret, new_webhook_secret
from tests.cli.webhooks.sending import send
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker.cli.local.processes import free_port
from worker.cli.local.receiver import MAX_BODY, ReceivedWebhook, VerifyingReceiver
from worker.webhooks.signing import sign


def test_only_valid_signatures_are_accepted() -> None:
    """The receiver accepts a webhook with a valid signature, counts it once, and refuses all others."""
    secret = new_webhook_secret("hmac")
    receiver = VerifyingReceiver(secret)
    body = b'{"data": {"id": "job-1"}}'
    try:
        headers = signed(secret, body)
        assert receiver.receive(headers, body) == 204
        assert receiver.receive(headers, body) == 204
        assert receiver.receive(headers, body + b" ") == 400
        assert receiver.receive(signed(new_webhook_secret("hmac"), body), body) == 400
        assert receiver.receive(signed(secret, b"[]"), b"[]") == 400
        assert receiver.receive({}, body) == 400
    finally:
        receiver.close()
    assert receiver.verified == {"job-1": 1}
    assert len(receiver.refused) == 4


def signed(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook that is sent now."""
    now = int(time.time())
    signature = sign([decode_webhook_secret(secret)], webhook_id="msg_1", timestamp=now, body=body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}


@pytest.fixture
def received() -> list[ReceivedWebhook]:
    """The requests that a receiver has reported."""
    return []


@pytest.fixture
def receiver(received: list[ReceivedWebhook]) -> Iterator[VerifyingReceiver]:
    """A receiver on a free port."""
    made = VerifyingReceiver(WEBHOOK_SECRET, on_received=received.append)
    yield made
    made.close()


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "-1", "many", "²"])
def test_an_invalid_content_length(receiver: VerifyingReceiver, received: list[ReceivedWebhook], length: str) -> None:
    """A request with an invalid or too large Content-Length is answered 413 before its body is read."""
    host, port = receiver.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert received[0].refused is not None


def test_a_sender_that_disconnects(receiver: VerifyingReceiver, capfd: pytest.CaptureFixture[str]) -> None:
    """A sender that disconnects within a request disturbs no other request and causes no output."""
    host, port = receiver.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    assert send(receiver.url) == [204]
    wait_until(lambda: receiver.refused, "half a body is refused")
    assert capfd.readouterr() == ("", "")


def test_over_ipv6(received: list[ReceivedWebhook]) -> None:
    """The receiver listens on an IPv6 address and puts it into brackets in its URL."""
    port = free_port(host="::1")
    receiver = VerifyingReceiver(WEBHOOK_SECRET, host="::1", port=port, on_received=received.append)
    try:
        assert receiver.url == f"http://[::1]:{port}/webhooks"
        assert send(receiver.url) == [204]
    finally:
        receiver.close()
    assert received[0].times == 1
