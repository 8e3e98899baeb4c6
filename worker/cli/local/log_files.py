"""Follows a file that somebody else writes."""

from __future__ import annotations

from pathlib import Path


class Tail:
    """The lines that are added to a file from now on."""

    def __init__(self, path: Path) -> None:
        """Begin at the end of the file as it is."""
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def lines(self) -> list[str]:
        """Return the whole lines that came since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            read = file.read()
        self._offset += len(read)
        *whole, self._rest = (self._rest + read).split(b"\n")
        return [line.decode(errors="replace") for line in whole]
