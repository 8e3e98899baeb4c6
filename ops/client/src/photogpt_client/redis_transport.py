"""The inbox, records and streams in Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from photogpt_client.connection import translated
from photogpt_client.errors import RedisUnavailable
from photogpt_client.keys import Keys
from photogpt_client.transport import START, StreamEntry

T = TypeVar("T")

MAX_CHUNK = 250  # entries of one pipeline
MAX_CHUNK_CHARS = 1_000_000  # of several entries: a slow network must take them within a socket's timeout
PAGE = 250  # entries of one read of the inbox; each has up to a megabyte
READ_COUNT = 100  # entries of one stream in one read
RETRY_S = 0.1


class RedisTransport:
    """Appends and reads with a pool of connections."""

    def __init__(self, client: Any, keys: Keys, *, send_timeout_s: float) -> None:
        """Use a Redis client that decodes responses.

        Args:
            client: of redis-py.
            keys: of the namespace.
            send_timeout_s: how long an append is repeated while Redis does not answer.
        """
        self._client = client
        self._keys = keys
        self._send_timeout_s = send_timeout_s

    def append(self, jobs: Sequence[str]) -> list[str]:
        """Append entries, some hundred with each round trip."""
        ends = time.monotonic() + self._send_timeout_s
        appended: list[str] = []
        for chunk in chunks(jobs):
            appended += _repeated(lambda chunk=chunk: self._append(chunk), until=ends)  # type: ignore[misc]
        return appended

    def _append(self, jobs: Sequence[str]) -> list[str]:
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for job in jobs:
                pipeline.xadd(self._keys.inbox, {"job": job})
            return [str(entry_id) for entry_id in pipeline.execute()]

    def read(self, after: Mapping[str, str], block_s: float) -> dict[str, list[StreamEntry]]:
        """Read streams; the wait is far below the timeout of the socket."""
        with translated():
            answer = self._client.xread(dict(after), count=READ_COUNT, block=int(block_s * 1000) or None)
        if isinstance(answer, dict):  # version 3 of the protocol
            return {stream: [entry for batch in batches for entry in batch] for stream, batches in answer.items()}
        return {stream: list(entries) for stream, entries in answer or ()}

    def records(self, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, str]]:
        """Read hashes with one round trip."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.hmget(key, list(fields))
            answers = pipeline.execute()
        return [
            {name: value for name, value in zip(fields, values, strict=True) if value is not None} for values in answers
        ]

    def held(self, entry_ids: Sequence[str]) -> list[bool]:
        """Read entries with one round trip."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for entry_id in entry_ids:
                pipeline.xrange(self._keys.inbox, entry_id, entry_id)
            return [bool(found) for found in pipeline.execute()]

    def find(self, texts: Sequence[str]) -> dict[str, str]:
        """Read the inbox page by page. It holds only what no worker has accepted yet."""
        found: dict[str, str] = {}
        start = START
        while len(found) < len(texts):
            with translated():
                page = self._client.xrange(self._keys.inbox, f"({start}", "+", count=PAGE)
            for entry_id, fields in page:
                job = _canonical(fields.get("job", ""))
                found |= {text: entry_id for text in texts if text in job}
            if len(page) < PAGE:
                break
            start = page[-1][0]
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def chunks(jobs: Sequence[str]) -> Iterator[list[str]]:
    """Yield entries in the portions in which they are sent, in their order."""
    chunk: list[str] = []
    size = 0
    for job in jobs:
        if chunk and (len(chunk) == MAX_CHUNK or size + len(job) > MAX_CHUNK_CHARS):
            yield chunk
            chunk, size = [], 0
        chunk.append(job)
        size += len(job)
    if chunk:
        yield chunk


def _canonical(text: str) -> str:
    """Return JSON as this package writes it, with sorted names: other producers may add spaces."""
    try:
        return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return ""


def _repeated(call: Callable[[], T], *, until: float) -> T:
    """Repeat a call while Redis does not answer; to append a job twice changes nothing."""
    while True:
        try:
            return call()
        except RedisUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(RETRY_S)
