"""A bucket that keeps outputs, through obstore. Importing this module needs the extra `outputs`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from config.outputs import check_endpoint, endpoint_is_plain_http
from worker.domain.errors import StorageError
from worker.outputs.bucket_errors import explanation

PART_BYTES = 5 << 20
"""Of a part of a multipart upload; S3 wants 5 MiB or more, and at most 10,000 parts. A smaller file is sent whole."""

MAX_PARTS_IN_FLIGHT = 2
MIN_PART_S = 10.0  # to upload one part
MAX_RETRIES = 2  # of one request; a longer outage is waited for in the lane, not in a thread
CHECK_KEY = ".photogpt-check"
NO_BUCKET = "NoSuchBucket"
PANIC = "PanicException"
"""The name of what obstore raises for an address that it cannot parse. It is no `Exception`, and cannot be imported."""


class Bucket:
    """Stores files in a bucket. An upload becomes visible when it is complete."""

    def __init__(self, url: str, *, stall_s: float) -> None:
        """Use a bucket, with the credentials that the provider's variables or the machine's role give.

        Args:
            url: s3://, gs:// or az://, with a prefix.
            stall_s: seconds after which a connection without progress is closed.

        Raises:
            StorageError: the URL or one of the provider's variables cannot be used.
        """
        self.name = url
        self.check_key = CHECK_KEY  # always the same: where no worker may delete it, there is one
        options: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=max(MIN_PART_S, 2 * stall_s)),  # for one part of a file
            "allow_http": endpoint_is_plain_http(url),
        }
        retries: dict[str, Any] = {"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=60)}
        try:
            check_endpoint(url)
            self._store: Any = from_url(url, client_options=options, retry_config=retries)  # type: ignore[call-overload]
        except (BaseError, ValueError, OSError) as error:
            raise StorageError(f"PHOTOGPT_OUTPUTS={url} cannot be used: {explanation(error)}") from error

    def put(self, key: str, parts: Iterator[bytes], content_type: str) -> None:
        """Upload a file; one that is larger than a part goes up in parts, of which two are in flight."""
        first = bytearray()
        for part in parts:
            first += part
            if len(first) >= PART_BYTES:
                break
        start = bytes(first)
        attributes: Any = {"Content-Type": content_type}
        with self._explained("store"):
            if len(start) < PART_BYTES:
                obstore.put(self._store, key, start, attributes=attributes, use_multipart=False)
                return
            obstore.put(
                self._store,
                key,
                itertools.chain([start], parts),
                attributes=attributes,
                chunk_size=PART_BYTES,
                max_concurrency=MAX_PARTS_IN_FLIGHT,
            )

    def get(self, key: str) -> Iterator[bytes]:
        """Return the bytes of a file in parts."""
        with self._explained("read"):
            for piece in obstore.get(self._store, key).stream(min_chunk_size=1 << 20):
                yield bytes(piece)

    def delete(self, key: str) -> None:
        """Delete a file."""
        with self._explained("delete"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError, PermissionError) as error:
            missing = verb == "read" and isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error)
            problem = "there is no such file" if missing else explanation(error)
            raise StorageError(f"cannot {verb} files in {self.name}: {problem}", of_one_file=missing) from error
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            raise StorageError(f"cannot {verb} files in {self.name}: obstore gave up: {error}") from None
