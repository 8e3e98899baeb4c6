"""What the clients need of Redis. The test kit has a second implementation, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

START = "0-0"
"""Before the first entry of every stream."""

StreamEntry = tuple[str, dict[str, str]]


class Transport(Protocol):
    """Appends entries to the inbox, and reads records and streams."""

    def append(self, jobs: Sequence[str]) -> list[str]:
        """Append entries, given as JSON; return their ids once Redis has acknowledged all.

        Raises:
            RedisUnavailable: some may be appended and some not.
            RedisRefused: Redis refuses the login or the command.
        """
        ...

    def read(self, after: Mapping[str, str], block_s: float) -> dict[str, list[StreamEntry]]:
        """Return the entries of streams behind an id each; wait up to `block_s` seconds for one, 0: do not wait."""
        ...

    def records(self, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, str]]:
        """Return fields of hashes; an empty dict for a hash that does not exist."""
        ...

    def held(self, entry_ids: Sequence[str]) -> list[bool]:
        """Return for each entry of the inbox whether it is still there."""
        ...

    def find(self, texts: Sequence[str]) -> dict[str, str]:
        """Return the entries of the inbox, text to id, whose JSON, compact and sorted, contains one of the texts."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
