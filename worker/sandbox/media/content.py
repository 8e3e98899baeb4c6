"""The bytes of an answer's body, which may be many more than memory should hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLOCK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its head, a block that is repeated, and its tail."""

    head: bytes
    block: bytes = b""
    repeats: int = 0
    tail: bytes = b""

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.head) + len(self.block) * self.repeats + len(self.tail)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, in pieces of any length."""
        yield self.head
        for _ in range(self.repeats):
            yield self.block
        yield self.tail


def padded(head: bytes, tail: bytes, size: int, padding: Callable[[int], bytes], min_padding: int) -> Content:
    """Return head and tail with padding in between, in all `size` bytes; without padding if that is too small.

    `padding` makes a piece of padding of a given length, which is never below `min_padding`.
    """
    missing = size - len(head) - len(tail)
    if missing < min_padding:
        return Content(head + tail)
    repeats, rest = divmod(missing, BLOCK_BYTES)
    if rest and rest < min_padding:
        repeats, rest = repeats - 1, rest + BLOCK_BYTES
    last = padding(rest) if rest else b""
    return Content(head, padding(BLOCK_BYTES) if repeats else b"", repeats, last + tail)
