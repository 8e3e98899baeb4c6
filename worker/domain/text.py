"""Limits the length of texts that others wrote."""

from __future__ import annotations


def truncate(text: str, length: int) -> str:
    """Return a text of at most `length` characters; an ellipsis marks a cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
