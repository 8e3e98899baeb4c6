"""An endpoint: the part of a webhook's URL whose health is tracked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Scheme, host, port and path of a webhook's URL."""

    id: str
    url: str


def endpoint_of(url: str) -> Endpoint:
    """Return the endpoint of a URL, without query and fragment, which may differ from job to job.

    A text that is not a URL is an endpoint too; the attempt at it fails with a reason.
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
