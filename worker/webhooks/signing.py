"""Standard Webhooks v1: HMAC-SHA256 over id, time stamp and body (specification 1.0.0). Bytes in, header out."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

TOLERANCE_S = 300
"""How far a time stamp may be off before a receiver should refuse it; the reference libraries use five minutes."""


class SignatureError(ValueError):
    """A webhook is not one of ours, or is too old. The message says which check failed, and no more."""


def sign(keys: Iterable[bytes], *, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one token per key, so that a key can be changed without a gap.

    Args:
        keys: the secrets' bytes; every one signs.
        webhook_id: stable over all attempts; holds no full stop.
        timestamp: integer epoch seconds of this attempt.
        body: exactly what is sent.
    """
    message = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    tokens = (base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode() for key in keys)
    return " ".join(f"v1,{token}" for token in tokens)


def verify(keys: Iterable[bytes], headers: Mapping[str, str], body: bytes, *, now: float) -> None:
    """Check what a receiver got.

    Args:
        keys: the secrets' bytes; one that fits is enough.
        headers: of the request; names in lower case.
        body: as it came, not parsed.
        now: epoch seconds.

    Raises:
        SignatureError: whatever is wrong with it.
    """
    try:
        webhook_id, stamp, given = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        timestamp = int(stamp)
        webhook_id.encode()
        tokens = [token.encode() for token in given.split(" ") if token.startswith("v1,")]
    except (KeyError, ValueError):
        raise SignatureError("a webhook header is missing or malformed") from None
    if not now - TOLERANCE_S <= timestamp <= now + TOLERANCE_S:
        raise SignatureError("the time stamp is too far from now")
    for key in keys:
        expected = sign([key], webhook_id=webhook_id, timestamp=timestamp, body=body).encode()
        if any(hmac.compare_digest(expected, token) for token in tokens):
            return
    raise SignatureError("no signature fits")
