"""The journal: one JSON line for everything created or changed, in a file that survives a kill."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, TypeAlias

from worker.sandbox.state.records import Generation, JsonObject, Model, Upload

Record: TypeAlias = Generation | Model | Upload
Entry: TypeAlias = tuple[str, Record | JsonObject]

_RECORDS: dict[str, type[Record]] = {"generation": Generation, "model": Model, "upload": Upload}


class Journal:
    """Append entries to a file; the operating system has each line before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def append(self, name: str, fact: Record | JsonObject) -> None:
        """Write one entry. It survives a kill of the process, though not a power cut."""
        body = fact if isinstance(fact, dict) else asdict(fact)
        self._file.write(json.dumps({name: body}, separators=(",", ":")).encode() + b"\n")

    def replay(self) -> Iterator[Entry]:
        """Yield every complete entry in order; remove an incomplete last line from the file."""
        complete = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                complete += len(line)
                yield _read(line)
        self._file.truncate(complete)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read(line: bytes) -> Entry:
    (name, body), *_ = json.loads(line).items()
    if name not in _RECORDS:
        return name, body
    if name == "generation":
        body["stages"] = tuple((offset, status) for offset, status in body["stages"])
        body["outputs"] = tuple(body["outputs"])
    return name, _RECORDS[name](**body)
