"""Times as RFC 3339 text and as epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Return epoch seconds as UTC text with milliseconds, the format that PhotoGPT uses."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(text: str) -> float:
    """Return RFC 3339 text as epoch seconds. A time without a zone is UTC.

    Raises:
        ValueError: the text is not a time.
    """
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def parse_time(value: object) -> float | None:
    """Return a time of PhotoGPT's as epoch seconds, or None if it is not a time."""
    try:
        return epoch(str(value))
    except ValueError:
        return None
