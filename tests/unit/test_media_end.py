"""Files that are cut, by their formats."""

from __future__ import annotations

import struct

import pytest

from worker.domain.media_end import EndCheck
from worker.domain.media_type import media_type

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50) + b"\x00\x00\x00\x00IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0" + bytes(60) + b"\xff\xd9"
GIF = b"GIF89a" + bytes(60) + b"\x3b"
WEBP = b"RIFF" + struct.pack("<I", 60) + b"WEBP" + bytes(56)


def box(kind: bytes, content: bytes, *, wide: bool = False) -> bytes:
    """Return a box of an ISO media file."""
    if wide:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


FTYP = box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2avc1mp41")
MP4 = FTYP + box(b"free", b"") + box(b"mdat", bytes(100), wide=True) + box(b"moov", bytes(30))
TO_END = FTYP + struct.pack(">I4s", 0, b"mdat") + bytes(80)
"""The last box may have the size 0: it ends with the file."""

FILES = {"png": PNG, "jpeg": JPEG, "gif": GIF, "webp": WEBP, "mp4": MP4}


def is_cut(content: bytes, step: int) -> bool:
    """Feed a file in pieces of `step` bytes."""
    check = EndCheck(media_type(content[:32]))
    for start in range(0, len(content), step):
        check.feed(content[start : start + step])
    return check.is_cut


@pytest.mark.parametrize("step", [1, 7, 16, 1000])
@pytest.mark.parametrize("name", FILES)
def test_whole_and_cut_files(name: str, step: int) -> None:
    """A whole file is not cut, and one that lacks its last bytes is, however its pieces fall."""
    content = FILES[name]
    assert not is_cut(content, step)
    assert is_cut(content[:-1], step)
    assert is_cut(content[: len(content) // 2 + 10], step)


def test_data_behind_the_end_is_allowed() -> None:
    """Data that a program appended to a picture does not make it incomplete."""
    assert not is_cut(PNG + b"trailer", 16)
    assert not is_cut(JPEG + b"trailer", 16)


def test_formats_that_do_not_show_their_end() -> None:
    """A file of an unknown type, and one whose last box has no size, are not called incomplete."""
    assert not is_cut(bytes(100), 10)
    assert not is_cut(TO_END, 10)
    assert not is_cut(TO_END[:-30], 10)
