"""Small pictures and a video, and what a host may send in their place."""

from __future__ import annotations

import gzip
import struct
import zlib

PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:4.0,\npart-1.ts\n#EXT-X-ENDLIST\n"
HTML = "<!DOCTYPE html><html><body><h1>503 – back soon</h1></body></html>"
WEBP = b"RIFF" + struct.pack("<I", 4 + 8 + 2000) + b"WEBPVP8L" + struct.pack("<I", 2000) + bytes(2000)
JPEG = b"\xff\xd8\xff\xe0" + bytes(3000) + b"\xff\xd9"


def png(seed: int) -> bytes:
    """Return a picture of 64 × 64 pixels that differs for each seed."""
    rows = b"".join(b"\0" + bytes((seed * 7 + x * y) % 256 for x in range(64 * 3)) for y in range(64))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def mp4(seed: int) -> bytes:
    """Return the boxes of a video that differs for each seed; it plays nothing."""
    data = bytes((seed + position) % 256 for position in range(5000))
    return b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + struct.pack(">I", len(data) + 8) + b"mdat" + data


def gzipped(content: bytes) -> bytes:
    """Return a body with `Content-Encoding: gzip`."""
    return gzip.compress(content, mtime=0)


def chunked(content: bytes, *, size: int = 1000, trailer: bytes = b"") -> bytes:
    """Return a body with `Transfer-Encoding: chunked`."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n" + trailer + b"\r\n"
