"""The package's receiver, with webhooks as workers sign them."""

from __future__ import annotations

import json
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.secrets import SigningKey, decode_webhook_secret, public_key
from photogpt_client.webhooks import Receiver, WebhookRefused
from tests.running import WEBHOOK_SECRET
from worker.webhooks.signing import sign

OTHER_SECRET = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="
KEY = decode_webhook_secret(WEBHOOK_SECRET)


def body_of(sequence: int = 4, kind: str = "job.succeeded") -> bytes:
    """Return the body of an event of one job."""
    event = {"type": kind, "timestamp": "2026-11-28T18:20:09.000Z", "sequence": sequence, "data": {"id": "j1"}}
    return json.dumps(event).encode()


def headers_of(body: bytes, key: SigningKey = KEY, *, webhook_id: str = "msg_1", age: float = 0) -> dict[str, str]:
    """Return the headers of a webhook as a worker signs it."""
    stamp = int(time.time() - age)
    signature = sign([key], webhook_id=webhook_id, timestamp=stamp, body=body)
    return {"Webhook-Id": webhook_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}


def test_an_event_is_received_once() -> None:
    """An event that comes again is received once, and after `forget` once more."""
    receiver, body = Receiver([OTHER_SECRET, WEBHOOK_SECRET]), body_of()
    event = receiver.receive(body, headers_of(body))
    assert event is not None
    assert (event.id, event.type, event.outcome["id"], event.is_late) == ("msg_1", "job.succeeded", "j1", False)
    assert receiver.receive(body, headers_of(body)) is None
    receiver.forget(event)
    assert receiver.receive(body, headers_of(body)) is not None


def test_a_late_event_is_marked() -> None:
    """An event that comes after a later one of its job says so."""
    receiver = Receiver([WEBHOOK_SECRET])
    bodies = [body_of(2, "job.submitted"), body_of(4), body_of(3, "job.running")]
    events = [receiver.receive(body, headers_of(body, webhook_id=f"msg_{n}")) for n, body in enumerate(bodies)]
    assert [event and event.is_late for event in events] == [False, False, True]


def test_an_ed25519_signature_is_verified() -> None:
    """A webhook that is signed with a private key is verified with the public one, and with no other."""
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    body = body_of()
    assert Receiver([public_key(key)]).receive(body, headers_of(body, key)) is not None
    with pytest.raises(WebhookRefused):
        Receiver([public_key(other)]).receive(body, headers_of(body, key))


def test_what_was_not_signed_is_refused() -> None:
    """A changed body, another secret, an old timestamp, a missing header and a malformed signature are refused."""
    receiver, body = Receiver([WEBHOOK_SECRET]), body_of()
    good = headers_of(body)
    for received, headers in (
        (body_of(3), good),
        (body, headers_of(body, decode_webhook_secret(OTHER_SECRET))),
        (body, headers_of(body, age=400)),
        (body, good | {"webhook-timestamp": f" {good['webhook-timestamp']}"}),
        (body, {name: value for name, value in good.items() if name != "Webhook-Id"}),
        (body, good | {"webhook-signature": "v1,%%% v1 v2,YQ== \ud800"}),
        (b"[]", headers_of(b"[]")),
        (b"[" * 20_000, headers_of(b"[" * 20_000)),
    ):
        with pytest.raises(WebhookRefused):
            receiver.receive(received, headers)


def test_a_wrong_key_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that cannot be used is refused at once, and a public key without cryptography says what to install."""
    for key in ("secret", "whsec_%%%", "whsec_", "whpk_YQ=="):
        with pytest.raises(ValueError, match="key") as refused:
            Receiver([key])
        assert "%%%" not in str(refused.value)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ImportError, match="v1a"):
        Receiver([public_key(Ed25519PrivateKey.generate())])
