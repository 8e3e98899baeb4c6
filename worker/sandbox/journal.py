"""The journal: one JSON line for everything created or changed, in a file that outlives a kill."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, TypeAlias

from worker.sandbox.world import Generation, JsonObject, Model, Upload

Record: TypeAlias = Generation | Model | Upload
Entry: TypeAlias = tuple[str, Record | JsonObject]

_RECORDS: dict[str, type[Record]] = {"generation": Generation, "model": Model, "upload": Upload}


class Journal:
    """Appends entries to a file; a line is handed to the operating system before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def append(self, what: str, fact: Record | JsonObject) -> None:
        """Writes one entry. A killed process loses nothing written; a power cut may."""
        body = fact if isinstance(fact, dict) else asdict(fact)
        self._file.write(json.dumps({what: body}, separators=(",", ":")).encode() + b"\n")

    def replay(self) -> Iterator[Entry]:
        """Every whole entry in order; a last line that was cut off is removed from the file."""
        whole = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                yield _read(line)
        self._file.truncate(whole)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _read(line: bytes) -> Entry:
    (what, body), *_ = json.loads(line).items()
    if what not in _RECORDS:
        return what, body
    if what == "generation":
        body["stages"] = tuple((offset, status) for offset, status in body["stages"])
        body["outputs"] = tuple(body["outputs"])
    return what, _RECORDS[what](**body)
