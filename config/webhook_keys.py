"""Formats of webhook keys (Standard Webhooks 1.0.0).

`whsec_` and base64 of 24 to 64 bytes: a secret shared with the receiver (v1, HMAC-SHA256). `whsk_` and base64 of an
ed25519 seed, with or without its public key appended: a private key of this service (v1a). The receiver gets the public
key, `whpk_`.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
SIGNING_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"
MIN_BYTES, MAX_BYTES = 24, 64
SEED_BYTES = 32

SigningKey = bytes | Ed25519PrivateKey
"""A key that signs: the bytes of a shared secret, or an ed25519 private key."""
VerifyingKey = SigningKey | Ed25519PublicKey
"""A key that verifies signatures."""


def decode_webhook_secret(text: str) -> bytes:
    """Return the bytes of a shared secret, `whsec_…`.

    Raises:
        ValueError: the text is not such a secret. The message never contains it.
    """
    key = _decode(text, WEBHOOK_SECRET_PREFIX)
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(f"must hold {MIN_BYTES} to {MAX_BYTES} bytes, this one holds {len(key)}")
    return key


def signing_key(text: str) -> SigningKey:
    """Return the key of a `whsec_…` or `whsk_…`.

    Raises:
        ValueError: the text is neither. The message never contains it.
    """
    if not text.startswith((WEBHOOK_SECRET_PREFIX, SIGNING_KEY_PREFIX)):
        raise ValueError(f"must start with {WEBHOOK_SECRET_PREFIX} or {SIGNING_KEY_PREFIX}")
    if text.startswith(WEBHOOK_SECRET_PREFIX):
        return decode_webhook_secret(text)
    key = _decode(text, SIGNING_KEY_PREFIX)
    if len(key) not in {SEED_BYTES, 2 * SEED_BYTES}:
        raise ValueError(f"must hold 32 bytes, or 64 with the public key; this one holds {len(key)}")
    private = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES])
    if key[SEED_BYTES:] not in {b"", private.public_key().public_bytes_raw()}:
        raise ValueError("holds a public key that does not belong to its seed")
    return private


def verifying_key(text: str) -> VerifyingKey:
    """Return the key of a `whpk_…`, `whsec_…` or `whsk_…`.

    Raises:
        ValueError: the text is none of them. The message never contains it.
    """
    if not text.startswith(PUBLIC_KEY_PREFIX):
        return signing_key(text)
    key = _decode(text, PUBLIC_KEY_PREFIX)
    if len(key) != SEED_BYTES:
        raise ValueError(f"must hold 32 bytes, this one holds {len(key)}")
    return Ed25519PublicKey.from_public_bytes(key)


def public_key(private: Ed25519PrivateKey) -> str:
    """Return the public key as `whpk_…`; receivers verify with it."""
    return PUBLIC_KEY_PREFIX + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def new_webhook_secret(kind: Literal["hmac", "ed25519"]) -> str:
    """Return a new random key in the form that PHOTOGPT_WEBHOOK_SECRETS takes."""
    if kind == "hmac":
        return WEBHOOK_SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode()
    private = Ed25519PrivateKey.generate()
    pair = private.private_bytes_raw() + private.public_key().public_bytes_raw()
    return SIGNING_KEY_PREFIX + base64.b64encode(pair).decode()


def _decode(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"must start with {prefix}")
    body = text.removeprefix(prefix)
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        raise ValueError(f"must be base64 after {prefix}") from None
