"""A folder that keeps outputs. A file is written beside its place and renamed, so that no reader gets half of one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from worker.domain.errors import StorageError

UNFINISHED = ".unfinished"
"""The folder of files that are being written."""

PIECE_BYTES = 1 << 20


class Folder:
    """Stores files in a folder of this machine, or of a network file system that all workers share."""

    def __init__(self, root: Path) -> None:
        """Use a folder; it is made with the first file."""
        self._root = root
        self.name = f"the folder {root}"

    def put(self, key: str, parts: Iterator[bytes], content_type: str) -> None:
        """Write a file, then give it its name. What a killed worker left of the same file is removed."""
        del content_type  # a file system keeps none
        place, unfinished = self._place(key), self._root / UNFINISHED
        prefix = hashlib.sha256(key.encode()).hexdigest()[:32]
        draft = unfinished / f"{prefix}.{uuid.uuid4().hex}"
        with self._explained("write", key):
            unfinished.mkdir(parents=True, exist_ok=True)
            for left in unfinished.glob(f"{prefix}.*"):
                left.unlink(missing_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            file = draft.open("xb")
        try:
            with file:
                for part in parts:
                    with self._explained("write", key):
                        file.write(part)
                with self._explained("write", key):
                    _sync(file.fileno(), file.flush)
            with self._explained("write", key):
                draft.replace(place)
                _sync_folder(place.parent)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def get(self, key: str) -> Iterator[bytes]:
        """Return the bytes of a file in parts."""
        with self._explained("read", key):
            file = self._place(key).open("rb")
        with file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def delete(self, key: str) -> None:
        """Delete a file."""
        with self._explained("delete", key):
            self._place(key).unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        """Return the path of a key.

        Raises:
            StorageError: the path would lie outside of the folder.
        """
        parts = key.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise StorageError(f"{key!r} is no key of a file")
        return self._root.joinpath(*parts)

    @contextlib.contextmanager
    def _explained(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"cannot {verb} {key} in {self._root}: {error.strerror or error}") from error


def _sync(descriptor: int, flush: object = None) -> None:
    if callable(flush):
        flush()
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
