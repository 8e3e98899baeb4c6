"""Standard Webhooks 1.0.0 over id, time stamp and body: v1 (HMAC-SHA256) and v1a (ed25519). Bytes in, header out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.secrets import SigningKey, VerifyingKey

TOLERANCE_S = 300
"""How far a time stamp may be off before a receiver should refuse it; the reference libraries use five minutes."""

MAX_TOKENS = 64
"""Of one header that are tried, so that a stranger's header costs little."""


class SignatureError(ValueError):
    """A webhook is not one of ours, or is too old. The message says which check failed, and no more."""


def sign(keys: Iterable[SigningKey], *, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one token per key, so that a key can be changed without a gap.

    Args:
        keys: shared secrets' bytes and ed25519 keys; every one signs.
        webhook_id: stable over all attempts; holds no full stop.
        timestamp: integer epoch seconds of this attempt.
        body: exactly what is sent.
    """
    message = _message(webhook_id, timestamp, body)
    return " ".join(_token(key, message) for key in keys)


def verify(keys: Iterable[VerifyingKey], headers: Mapping[str, str], body: bytes, *, now: float) -> None:
    """Check what a receiver got.

    Args:
        keys: shared secrets' bytes and ed25519 keys, public or not; one that fits is enough.
        headers: of the request; names in lower case.
        body: as it came, not parsed.
        now: epoch seconds.

    Raises:
        SignatureError: whatever is wrong with it.
    """
    try:
        webhook_id, stamp, given = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        timestamp = int(stamp)
        message = _message(webhook_id, timestamp, body)
        tokens = [token.encode() for token in given.split(" ")[:MAX_TOKENS]]
    except (KeyError, ValueError):
        raise SignatureError("a webhook header is missing or malformed") from None
    if stamp != str(timestamp):  # what was signed is one spelling of the time
        raise SignatureError("a webhook header is missing or malformed")
    if not now - TOLERANCE_S <= timestamp <= now + TOLERANCE_S:
        raise SignatureError("the time stamp is too far from now")
    if not any(_fits(key, message, token) for key in keys for token in tokens):
        raise SignatureError("no signature fits")


def _message(webhook_id: str, timestamp: int, body: bytes) -> bytes:
    return b".".join((webhook_id.encode(), str(timestamp).encode(), body))


def _token(key: SigningKey, message: bytes) -> str:
    if isinstance(key, bytes):
        return "v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
    return "v1a," + base64.b64encode(key.sign(message)).decode()


def _fits(key: VerifyingKey, message: bytes, token: bytes) -> bool:
    if isinstance(key, bytes):
        return hmac.compare_digest(_token(key, message).encode(), token)
    version, _, text = token.partition(b",")
    if version != b"v1a":
        return False
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    try:
        signature = base64.b64decode(text, validate=True)
        public.verify(signature, message)
    except (binascii.Error, InvalidSignature):
        return False
    return base64.b64encode(signature) == text  # base64 has several spellings of one signature
