"""Reads an answer as long as it makes progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.http.deadline import Call

if TYPE_CHECKING:
    import requests

MIN_PROGRESS_BYTES = 65_536
"""That have to arrive within the stall time. The time in which the storage takes parts does not count."""

STORAGE_S = 3600.0
"""Between two reads the storage has the file; its own timeouts hold."""


class Pace:
    """Moves the deadline of a call while bytes arrive."""

    def __init__(self, call: Call, stall_s: float) -> None:
        """Allow `stall_s` seconds of reading for each `MIN_PROGRESS_BYTES`."""
        self.call = call
        self._stall_s = stall_s
        self._left_s = stall_s
        self._received = 0

    def read(self, answer: requests.Response, size: int) -> bytes:
        """Return up to `size` bytes, none at the end; the watchdog closes the connection if it makes no progress."""
        began = time.monotonic()
        self.call.ends = began + self._left_s
        piece: bytes = answer.raw.read1(size, decode_content=True) or b""
        self._left_s -= time.monotonic() - began
        self._received += len(piece)
        if self._received >= MIN_PROGRESS_BYTES:
            self._received, self._left_s = 0, self._stall_s
        self.call.ends = time.monotonic() + STORAGE_S
        return piece
