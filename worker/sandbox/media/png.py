"""Write a picture as PNG, with a palette."""

import struct
import zlib

from worker.sandbox.media.picture import Picture

MIN_PADDING = 12
_PADDING = b"paDd"
"""A private chunk, which programs that do not know it skip."""


def encode(picture: Picture) -> tuple[bytes, bytes]:
    """Return the file in two parts, between which padding chunks may be written."""
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 3, 0, 0, 0)
    width = picture.width
    rows = b"".join(b"\0" + picture.pixels[y * width : (y + 1) * width] for y in range(picture.height))
    palette = bytes(part for colour in picture.palette for part in colour)
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"PLTE", palette)
    return head + _chunk(b"IDAT", zlib.compress(rows, 6)), _chunk(b"IEND", b"")


def padding(size: int) -> bytes:
    """Return a chunk of exactly this many bytes, at least MIN_PADDING."""
    return _chunk(_PADDING, bytes(size - MIN_PADDING))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
