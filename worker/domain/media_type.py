"""The type of a picture or video by its first bytes. Neither a URL nor a Content-Type header is believed."""

from __future__ import annotations

from dataclasses import dataclass

MIN_BYTES = 32
"""Of a file's start; less is enough only if the file is shorter."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """The type of a file."""

    content_type: str
    #: With the dot.
    extension: str

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.content_type.startswith("video/")


UNKNOWN = MediaType("application/octet-stream", ".bin")

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", MediaType("image/png", ".png")),
    (b"\xff\xd8\xff", MediaType("image/jpeg", ".jpg")),
    (b"GIF87a", MediaType("image/gif", ".gif")),
    (b"GIF89a", MediaType("image/gif", ".gif")),
    (b"BM", MediaType("image/bmp", ".bmp")),
    (b"II*\x00", MediaType("image/tiff", ".tiff")),
    (b"MM\x00*", MediaType("image/tiff", ".tiff")),
    (b"\x00\x00\x00\x0cJXL ", MediaType("image/jxl", ".jxl")),
    (b"\x1a\x45\xdf\xa3", MediaType("video/webm", ".webm")),
)

RIFF = {b"WEBP": MediaType("image/webp", ".webp"), b"AVI ": MediaType("video/x-msvideo", ".avi")}

BRANDS = {
    b"avif": MediaType("image/avif", ".avif"),
    b"avis": MediaType("image/avif", ".avif"),
    b"heic": MediaType("image/heic", ".heic"),
    b"heix": MediaType("image/heic", ".heic"),
    b"mif1": MediaType("image/heic", ".heic"),
    b"qt  ": MediaType("video/quicktime", ".mov"),
}
"""Brands of ISO media files; any other is MP4."""

MP4 = MediaType("video/mp4", ".mp4")
PLAYLIST = b"#EXTM3U"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16."""


def media_type(start: bytes) -> MediaType:
    """Return the type of a file, given its first bytes; `UNKNOWN` if they are no known picture or video."""
    if start[4:8] == b"ftyp":
        return BRANDS.get(start[8:12], MP4)
    if start[:4] == b"RIFF":
        return RIFF.get(start[8:12], UNKNOWN)
    return next((found for signature, found in SIGNATURES if start.startswith(signature)), UNKNOWN)


def what_is_wrong(start: bytes, *, is_video: bool) -> str | None:
    """Return why a file that begins with these bytes is not the output, or None.

    Args:
        start: the first bytes.
        is_video: a video is expected.
    """
    found = media_type(start)
    text = start.removeprefix(BYTE_ORDER_MARK).lstrip()
    if not start:
        return "is empty"
    if text.startswith(PLAYLIST):
        return "is a playlist, not a file"
    if found is UNKNOWN and (_is_text(text) or start.startswith(WIDE_TEXT)):
        return "is text, not a picture or video"
    if is_video and not found.is_video:
        return f"is {found.content_type}, not a video"
    return None


def _is_text(start: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in start)
