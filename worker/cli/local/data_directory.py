"""The directory of `up`: made with narrow permissions, checked, and used by one `up` at a time."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.cli.context import CommandError

LOCK = "up.lock"
"""Its lock ends with the process that holds it, so a file that is left behind means nothing."""


@contextmanager
def data_directory(directory: Path) -> Iterator[None]:
    """Make the directory with its folder for logs, and keep every other `up` out of it during the block.

    Raises:
        CommandError: it cannot be written, or another `up` uses it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # its files hold prompts and URLs of outputs
        (directory / "logs").mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=directory / "logs"):
            lock = (directory / LOCK).open("w")
    except OSError as error:
        raise CommandError(not_writable(directory, error)) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another `photogpt-worker up` runs in {directory}: stop it, or set PHOTOGPT_DATA_DIR to another "
                "directory"
            ) from None
        yield


def not_writable(directory: Path, error: OSError) -> str:
    """Return a sentence about a directory in which a file cannot be written."""
    return (
        f"{error.filename or directory} cannot be written: {error.strerror}; set PHOTOGPT_DATA_DIR to a directory that "
        "this user can write"
    )
