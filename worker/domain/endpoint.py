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

    What is no URL is an endpoint, too: the attempt at it says what is wrong.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        plain = url.partition("?")[0]
    else:
        named = f"[{host}]" if ":" in host else host
        at = "" if port in {None, PORTS.get(scheme)} else f":{port}"
        plain = f"{scheme}://{named}{at}{parts.path or '/'}"
    return Endpoint(id=f"ep_{hashlib.sha256(plain.encode('utf-8', 'replace')).hexdigest()[:16]}", url=plain)
