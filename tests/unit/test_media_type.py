"""The type of a file by its first bytes."""

from __future__ import annotations

import pytest

from worker.domain.media_type import media_type, what_is_wrong

KNOWN = {
    b"\x89PNG\r\n\x1a\n0000": ("image/png", ".png"),
    b"\xff\xd8\xff\xe1....Exif": ("image/jpeg", ".jpg"),
    b"GIF89a0000": ("image/gif", ".gif"),
    b"RIFF0000WEBPVP8 ": ("image/webp", ".webp"),
    b"RIFF0000AVI LIST": ("video/x-msvideo", ".avi"),
    b"\x00\x00\x00\x18ftypisom": ("video/mp4", ".mp4"),
    b"\x00\x00\x00\x18ftypqt  ": ("video/quicktime", ".mov"),
    b"\x00\x00\x00\x18ftypavif": ("image/avif", ".avif"),
    b"\x1a\x45\xdf\xa3....": ("video/webm", ".webm"),
    b"\x00\x01\x02\x03": ("application/octet-stream", ".bin"),
    b"": ("application/octet-stream", ".bin"),
}


@pytest.mark.parametrize("start", KNOWN)
def test_types(start: bytes) -> None:
    """Content type and extension follow from the first bytes."""
    found = media_type(start)
    assert (found.content_type, found.extension) == KNOWN[start]


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        (b"", "is empty"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "is a playlist, not a file"),
        (b"\xef\xbb\xbf\r\n#EXTM3U\n", "is a playlist, not a file"),
        (b"<!DOCTYPE html><html>", "is text, not a picture or video"),
        (b'{"status": "NOK"}', "is text, not a picture or video"),
        (b"\x89PNG\r\n\x1a\n0000", "is image/png, not a video"),
        (b"\x00\x01\x02\x03", "is application/octet-stream, not a video"),
        (b"\x00\x00\x00\x18ftypisom", None),
    ],
)
def test_what_is_no_video(start: bytes, problem: str | None) -> None:
    """A playlist, a page and a picture are no video."""
    assert what_is_wrong(start, is_video=True) == problem


def test_what_is_no_picture() -> None:
    """A page is no picture; bytes of an unknown format may be one."""
    assert what_is_wrong(b"<html>", is_video=False) == "is text, not a picture or video"
    assert what_is_wrong(b"\x00\x01\x02\x03", is_video=False) is None
