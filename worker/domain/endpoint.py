"""An endpoint: where webhooks go, without what differs from one to the next."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Scheme, host, port and path of a webhook's URL: what is healthy or not."""

    id: str
    url: str


def endpoint_of(url: str) -> Endpoint:
    """Return the endpoint of a URL. A query may carry an order's number, and a fragment is never sent.

    Raises:
        ValueError: it is no URL.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    port = parts.port or PORTS.get(scheme, 0)
    named = f"[{host}]" if ":" in host else host
    plain = f"{scheme}://{named}{'' if port == PORTS.get(scheme) else f':{port}'}{parts.path or '/'}"
    return Endpoint(id=f"ep_{hashlib.sha256(plain.encode('utf-8', 'replace')).hexdigest()[:16]}", url=plain)
