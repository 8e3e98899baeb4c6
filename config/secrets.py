"""What a webhook secret looks like (Standard Webhooks 1.0.0: `whsec_` and base64 of 24 to 64 bytes)."""

from __future__ import annotations

import base64
import binascii

WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - a marker, not a secret
SHORTEST, LONGEST = 24, 64


def decode_webhook_secret(text: str) -> bytes:
    """Return the key's bytes.

    Raises:
        ValueError: the text is not a secret of that form. The message never contains it.
    """
    if not text.startswith(WEBHOOK_SECRET_PREFIX):
        raise ValueError(f"must start with {WEBHOOK_SECRET_PREFIX}")
    body = text.removeprefix(WEBHOOK_SECRET_PREFIX)
    try:
        key = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        raise ValueError(f"must be base64 after {WEBHOOK_SECRET_PREFIX}") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"must hold {SHORTEST} to {LONGEST} bytes, this one holds {len(key)}")
    return key
