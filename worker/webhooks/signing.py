"""Standard Webhooks 1.0.0 signatures over id, timestamp and body: v1 (HMAC-SHA256) and v1a (ed25519)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.webhook_keys import SigningKey, VerifyingKey

TOLERANCE_S = 300
"""The maximum age or lead of a timestamp, in seconds; the reference libraries use five minutes too."""

MAX_TOKENS = 64
"""The maximum number of signatures tried per header, which bounds the cost of a forged one."""


class SignatureError(ValueError):
    """A webhook has no valid signature or is too old. The message names only the failed check."""


def sign(keys: Iterable[SigningKey], *, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one token per key, so that keys can be rotated.

    Args:
        keys: shared secrets as bytes, and ed25519 keys; each signs.
        webhook_id: stable over all attempts; contains no full stop.
        timestamp: integer epoch seconds of this attempt.
        body: the exact bytes that are sent.
    """
    message = _message(webhook_id, timestamp, body)
    return " ".join(_token(key, message) for key in keys)


def verify(keys: Iterable[VerifyingKey], headers: Mapping[str, str], body: bytes, *, now: float) -> None:
    """Check a received webhook.

    Args:
        keys: shared secrets as bytes, and ed25519 keys, public or private; one valid signature is enough.
        headers: of the request, with lower-case names.
        body: the exact bytes received.
        now: epoch seconds.

    Raises:
        SignatureError: a header is malformed, the timestamp is too far off, or no signature is valid.
    """
    try:
        webhook_id, stamp, given = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        timestamp = int(stamp)
        message = _message(webhook_id, timestamp, body)
        tokens = [token.encode() for token in given.split(" ")[:MAX_TOKENS]]
    except (KeyError, ValueError):
        raise SignatureError("a webhook header is missing or malformed") from None
    if stamp != str(timestamp):  # `int` accepts spellings that were not signed
        raise SignatureError("a webhook header is missing or malformed")
    if not now - TOLERANCE_S <= timestamp <= now + TOLERANCE_S:
        raise SignatureError("the timestamp is too far from now")
    if not any(_is_valid(key, message, token) for key in keys for token in tokens):
        raise SignatureError("no signature is valid")


def _message(webhook_id: str, timestamp: int, body: bytes) -> bytes:
    return b".".join((webhook_id.encode(), str(timestamp).encode(), body))


def _token(key: SigningKey, message: bytes) -> str:
    if isinstance(key, bytes):
        return "v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
    return "v1a," + base64.b64encode(key.sign(message)).decode()


def _is_valid(key: VerifyingKey, message: bytes, token: bytes) -> bool:
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
    return base64.b64encode(signature) == text  # base64 can spell one signature in several ways
