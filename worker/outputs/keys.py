"""Keys of stored files. No part of a key comes from a URL, and no value can add a folder to it or leave it."""

from __future__ import annotations

import hashlib

from worker.domain.job import Job
from worker.domain.media_type import MediaType
from worker.domain.times import rfc3339

NO_TENANT = "default"
MAX_VALUE = 120  # characters of one value; a file's name may have 255 bytes
SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def file_key(template: str, job: Job, number: int, found: MediaType, *, finished_at: float) -> str:
    """Return the key of one file.

    Args:
        template: PHOTOGPT_OUTPUTS_KEY.
        job: whose output it is.
        number: of the output, from 1.
        found: the type of the file.
        finished_at: when the generation ended, epoch seconds.
    """
    return template.format(
        tenant=safe(job.tenant) if job.tenant else NO_TENANT,
        date=rfc3339(finished_at)[:10],
        id=safe(job.id),
        kind=job.kind.value,
        n=number,
        ext=found.extension,
    )


def safe(value: str) -> str:
    """Return a value as one part of a path: bytes other than letters, digits, dots, - and _ become =XX.

    So does a dot in front. Two values never become the same: a long one ends in a hash of all of it.
    """
    escaped = "".join(
        char if char in SAFE or (char == "." and position) else "".join(f"={byte:02X}" for byte in _bytes(char))
        for position, char in enumerate(value)
    )
    if len(escaped) <= MAX_VALUE:
        return escaped
    return f"{escaped[: MAX_VALUE - 34]}=-{hashlib.sha256(_bytes(value)).hexdigest()[:32]}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
