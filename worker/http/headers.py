"""Answer headers that carry a time: Date and Retry-After."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_SECONDS = 7 * 86_400.0  # keeps an absurd Retry-After finite; each caller has a lower limit of its own


def parse_http_date(text: str) -> float | None:
    """Return an HTTP date as epoch seconds, or None if it is not a date. A date without a zone is UTC."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, or None if there is no readable one.

    A date counts from the answer's Date header if there is one, so that the clock of this machine does not matter.
    """
    text = headers.get("Retry-After", "").strip()
    if text.replace(".", "", 1).isdigit():
        return _seconds(text)
    until = parse_http_date(text)
    if until is None:
        return None
    date = headers.get("Date")
    now = parse_http_date(date) if date else time.time()
    return None if now is None else min(max(0.0, until - now), MAX_SECONDS)


def _seconds(text: str) -> float | None:
    try:
        return min(float(text), MAX_SECONDS)
    except ValueError:  # isdigit accepts digits, such as superscripts, that float does not
        return None
