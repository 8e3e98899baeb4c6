"""Answers of XREAD and XREADGROUP, which have another form in version 3 of Redis' protocol: the client decides."""

from __future__ import annotations

from typing import Any


def entries_of(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """Return the entries of all streams in an answer, each with its id and its fields."""
    if isinstance(answer, dict):
        return [entry for batches in answer.values() for batch in batches for entry in batch]
    return [entry for _, entries in answer or () for entry in entries]
