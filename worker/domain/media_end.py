"""Whether a picture or video ends where its format says. Needed where HTTP does not say how long the body is."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.media_type import MediaType

TAIL_BYTES = 65_536
"""Some programs append data to a file; the mark of its end is searched in as many bytes."""

END_MARKS = {"image/png": b"IEND\xaeB`\x82", "image/jpeg": b"\xff\xd9", "image/gif": b"\x3b"}
BOXED = frozenset({"video/mp4", "video/quicktime", "image/avif", "image/heic"})
MAX_BOX_HEADER = 16


@dataclass(slots=True)
class EndCheck:
    """Follows a file piece by piece."""

    media: MediaType
    _size: int = 0
    #: The start of the file, as much as a header needs.
    _start: bytes = b""
    _tail: bytes = b""
    #: Where the next box of an ISO media file begins; -1 if the last one ends with the file.
    _next_box: int = 0
    #: The bytes of the next box's header so far.
    _header: bytes = b""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the file."""
        if len(self._start) < MAX_BOX_HEADER:
            self._start = (self._start + piece)[:MAX_BOX_HEADER]
        if self.media.content_type in BOXED:
            self._follow_boxes(piece)
        if self.media.content_type in END_MARKS:
            self._tail = (self._tail + piece)[-TAIL_BYTES:]
        self._size += len(piece)

    @property
    def is_cut(self) -> bool:
        """Whether the file certainly lacks its end; False for a format that does not show it."""
        kind = self.media.content_type
        if kind in END_MARKS:
            return END_MARKS[kind] not in self._tail
        if kind in BOXED:
            return bool(self._header) or self._next_box > self._size
        if self._start[:4] == b"RIFF":
            return 8 + int.from_bytes(self._start[4:8], "little") > self._size
        return False

    def _follow_boxes(self, piece: bytes) -> None:
        """Step from box to box: each begins with its size in four bytes, or in eight behind its type."""
        end = self._size + len(piece)
        while 0 <= self._next_box < end - len(self._header):
            position = self._next_box + len(self._header) - self._size
            self._header += piece[position : position + MAX_BOX_HEADER - len(self._header)]
            length = _box_length(self._header)
            if length is None:
                return
            self._next_box, self._header = self._next_box + length if length else -1, b""


def _box_length(header: bytes) -> int | None:
    """Return the length of a box, 0 if it ends with the file, or None if its header is incomplete."""
    if len(header) < 8:
        return None
    length = int.from_bytes(header[:4], "big")
    if length == 1:
        return max(MAX_BOX_HEADER, int.from_bytes(header[8:16], "big")) if len(header) >= MAX_BOX_HEADER else None
    return max(8, length) if length else 0
