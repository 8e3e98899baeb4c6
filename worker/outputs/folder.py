"""A folder that keeps outputs. A file is written beside its place and renamed, so that no reader gets half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from worker.domain.errors import StorageError

CHECK_KEY = ".photogpt-check"
UNFINISHED = ".unfinished"
"""The folder of files that are being written."""

PIECE_BYTES = 1 << 20
OF_ONE_FILE = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.ENOENT, errno.EFBIG})
"""Errors that say nothing of other files."""


class Folder:
    """Stores files in a folder of this machine, or of a network file system that all workers share."""

    def __init__(self, root: Path) -> None:
        """Use a folder; it is made with the first file."""
        self._root = root
        self._mount = next(path for path in (root, *root.parents) if os.path.ismount(path))
        self.name = f"the folder {root}"
        self.check_key = f"{CHECK_KEY}-{uuid.uuid4().hex[:8]}"  # two workers may check at once

    def put(self, key: str, parts: Iterator[bytes], content_type: str) -> None:
        """Write a file, then give it its name. What a killed worker left of the same file is removed."""
        del content_type  # a file system keeps none
        place, unfinished = self._place(key), self._root / UNFINISHED
        prefix = hashlib.sha256(key.encode()).hexdigest()[:32]
        draft = unfinished / f"{prefix}.{uuid.uuid4().hex}"
        with self._explained("write"):
            self._check_mount()
            unfinished.mkdir(parents=True, exist_ok=True)
            for left in unfinished.glob(f"{prefix}.*"):
                left.unlink(missing_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            file = draft.open("xb", buffering=0)  # a buffer would be written once more by `close`, which then raises
        try:
            with file:
                for part in parts:
                    with self._explained("write"):
                        _write(file, part)
                with self._explained("write"):
                    os.fsync(file.fileno())
            with self._explained("write"):
                draft.replace(place)
                _sync_folder(place.parent)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def get(self, key: str) -> Iterator[bytes]:
        """Return the bytes of a file in parts."""
        with self._explained("read"):
            file = self._place(key).open("rb")
        with file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def delete(self, key: str) -> None:
        """Delete a file."""
        with self._explained("delete"):
            self._place(key).unlink(missing_ok=True)

    def _check_mount(self) -> None:
        """Refuse to write below a mount point that lost its file system: remounted, it would hide the files."""
        if not os.path.ismount(self._mount):
            raise OSError(f"nothing is mounted on {self._mount}, which was a mount point at the start")

    def _place(self, key: str) -> Path:
        """Return the path of a key.

        Raises:
            StorageError: the path would lie outside of the folder.
        """
        parts = key.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise StorageError(f"{key!r} is no key of a file", of_one_file=True)
        return self._root.joinpath(*parts)

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"cannot {verb} files in {self._root}: {error.strerror or error}"
            raise StorageError(problem, of_one_file=error.errno in OF_ONE_FILE) from error


def _write(file: FileIO, part: bytes) -> None:
    """Write all bytes; a file system that is nearly full may take a few of them."""
    left = memoryview(part)
    while left:
        left = left[file.write(left) :]


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
