"""Reads log files that other processes write."""

from __future__ import annotations

from pathlib import Path


class LogTail:
    """Returns the lines that are added to a file after this object was made."""

    def __init__(self, path: Path) -> None:
        """Start at the present end of the file, which need not exist yet."""
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._incomplete = b""

    def new_lines(self) -> list[str]:
        """Return the complete lines added since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        self._offset += len(added)
        *lines, self._incomplete = (self._incomplete + added).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def last_lines(log: Path | None, count: int = 12) -> str:
    """Return the last lines of a log file, indented."""
    text = log.read_text(encoding="utf-8", errors="replace") if log and log.exists() else ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-count:])
