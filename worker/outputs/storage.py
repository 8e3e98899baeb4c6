"""The storage of outputs: a folder, or a bucket at Amazon, Google, Azure or a server that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from config.outputs import folder_of
from worker.domain.errors import StorageError
from worker.outputs.folder import Folder

if TYPE_CHECKING:
    from config.settings import Settings


class Storage(Protocol):
    """Keeps files under keys. A file is there as a whole or not at all."""

    #: Name of the provider or folder, for messages.
    name: str
    #: Key of the small file that a check stores.
    check_key: str

    def put(self, key: str, parts: Iterator[bytes], content_type: str) -> None:
        """Store a file of a few parts or many, replacing an earlier one. If `parts` raises, nothing is stored.

        Raises:
            StorageError: the storage does not accept the file.
        """

    def get(self, key: str) -> Iterator[bytes]:
        """Return the bytes of a file in parts.

        Raises:
            StorageError: there is no such file, or the storage does not answer.
        """

    def delete(self, key: str) -> None:
        """Delete a file.

        Raises:
            StorageError: the storage does not answer, or does not allow it.
        """


def open_storage(settings: Settings) -> Storage | None:
    """Return the storage of the settings, or None if outputs are not stored. No connection is opened.

    Raises:
        StorageError: obstore is not installed, or does not accept the URL or one of the provider's variables.
    """
    if settings.outputs is None:
        return None
    folder = folder_of(settings.outputs)
    if folder is not None:
        return Folder(folder)
    try:
        from worker.outputs.bucket import Bucket  # noqa: PLC0415 - needs the extra `outputs`
    except ImportError:
        scheme = settings.outputs.partition(":")[0]
        raise StorageError(
            f"PHOTOGPT_OUTPUTS names {scheme}://, and the package obstore is missing: "
            "pip install 'photogpt-worker[outputs]'"
        ) from None
    return Bucket(settings.outputs, stall_s=settings.outputs_stall_s)


def check_storage(storage: Storage) -> str | None:
    """Check that files can be stored, by storing a small one.

    Returns:
        Why the small file could not be deleted, or None. Workers delete no file, so they need no right to do it.

    Raises:
        StorageError: no file can be stored; the message says why.
    """
    storage.put(storage.check_key, iter([b"ok"]), "text/plain")
    try:
        storage.delete(storage.check_key)
    except StorageError as error:
        return str(error)
    return None
