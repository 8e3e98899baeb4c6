"""Checks of a webhook's signature, as Standard Webhooks defines it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from photogpt_client.errors import WebhookRefused

TOLERANCE_S = 300
MAX_SIGNATURES = 64  # tried for one header
SECRET, PUBLIC = "whsec_", "whpk_"

Check = Callable[[bytes, str], bool]


class Headers(Protocol):
    """The headers of a request, as any framework holds them."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values."""
        ...


def verified_id(checks: Iterable[Check], body: bytes, headers: Headers) -> str:
    """Return the id of a webhook whose signature one of the checks accepts.

    Raises:
        WebhookRefused: none does, or a header is missing, malformed or too old.
    """
    if not isinstance(body, bytes | bytearray):
        raise TypeError("body: must be the exact bytes of the request")
    lower = {_text(name).lower(): _text(value) for name, value in headers.items()}
    try:
        webhook_id, stamp, given = (lower[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        timestamp = int(stamp)
        message = b".".join((webhook_id.encode(), stamp.encode(), body))
    except (KeyError, ValueError):
        raise WebhookRefused("a webhook header is missing or malformed") from None
    if stamp != str(timestamp) or abs(time.time() - timestamp) > TOLERANCE_S:
        raise WebhookRefused("the timestamp is malformed or too far from now")
    tokens = given.split(" ")[:MAX_SIGNATURES]
    if not any(check(message, token) for check in checks for token in tokens):
        raise WebhookRefused("no signature is valid")
    return webhook_id


def _text(value: object) -> str:
    """Return a name or value of a header. Some frameworks hold bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def check_of(key: str) -> Check:
    """Return how a key checks a signature.

    Raises:
        ValueError: the key cannot be used; it is not quoted.
        ImportError: a `whpk_…` needs cryptography.
    """
    prefix = SECRET if key.startswith(SECRET) else PUBLIC if key.startswith(PUBLIC) else ""
    try:
        text = key.removeprefix(prefix)
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # the padding may be left out
    except binascii.Error:
        raise ValueError("keys: must be whsec_… or whpk_… with base64 behind it") from None
    if not prefix or not raw:
        raise ValueError("keys: must be whsec_… (a shared secret) or whpk_… (a public key)")
    return _asymmetric(raw) if prefix == PUBLIC else _symmetric(raw)


def _symmetric(secret: bytes) -> Check:
    def check(message: bytes, token: str) -> bool:
        valid = "v1," + base64.b64encode(hmac.digest(secret, message, hashlib.sha256)).decode()
        return hmac.compare_digest(valid.encode(), token.encode("utf-8", "replace"))

    return check


def _asymmetric(public: bytes) -> Check:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError("a whpk_… key needs cryptography: pip install 'photogpt-client[v1a]'") from None
    key = Ed25519PublicKey.from_public_bytes(public)

    def check(message: bytes, token: str) -> bool:
        version, _, text = token.partition(",")
        try:
            signature = base64.b64decode(text, validate=True)
            key.verify(signature, message)
        except (ValueError, InvalidSignature):
            return False
        return version == "v1a" and base64.b64encode(signature).decode() == text

    return check
