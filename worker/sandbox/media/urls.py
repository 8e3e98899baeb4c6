"""URLs of outputs: where they lead, and until when."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "/media/"

_KEY = b"sandbox"
"""Signs URLs that expire. It is no secret: nothing here needs protection."""


@dataclass(frozen=True, slots=True)
class MediaUrls:
    """Makes the URLs of one answer."""

    base: str
    """What every URL starts with, up to and without `/media/`."""
    ttl_s: float | None
    now: float

    def of(self, asset_id: str, suffix: str) -> str:
        """Return the URL of an output's file."""
        query = "" if self.ttl_s is None else query_until(asset_id, self.now + self.ttl_s)
        return f"{self.base}{PREFIX}{asset_id}.{suffix}{query}"


NO_MEDIA = MediaUrls("", None, 0.0)
"""For requests whose answer has no URLs."""


def query_until(asset_id: str, expires_at: float) -> str:
    """Return the query that lets a URL of this output work until a time (epoch seconds)."""
    expires = f"{expires_at:.3f}"
    return f"?expires={expires}&signature={_signature(asset_id, expires)}"


def refusal(asset_id: str, query: Mapping[str, str], now: float, *, needed: bool) -> str | None:
    """Return why a URL does not work (now), or None. Without `needed`, a URL may have no signature."""
    expires, signature = query.get("expires", ""), query.get("signature", "")
    if not expires and not needed:
        return None
    if not hmac.compare_digest(signature.encode(), _signature(asset_id, expires).encode()):
        return "The URL is not signed for this file."
    return None if now < float(expires) else "The URL has expired."


def _signature(asset_id: str, expires: str) -> str:
    return hmac.new(_KEY, f"{asset_id} {expires}".encode(), hashlib.sha256).hexdigest()[:32]
