"""Write an answer to a connection: complete, or damaged by a fault."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, repeat

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from worker.sandbox.api.replies import Reply
from worker.sandbox.faults.actions import Action
from worker.sandbox.media.content import BLOCK_BYTES

_PIECES_PER_S = 10
"""How often a slow answer goes on."""


def send(connection: HTTP1Connection, reply: Reply) -> None:
    """Write a complete answer that fits into memory, and keep the connection open for the next request."""
    if not connection.stream.closed():
        connection.write(reply.head() + b"".join(reply.pieces()))
        connection.finish()


async def send_streamed(connection: HTTP1Connection, reply: Reply, action: Action) -> None:
    """Write an answer piece by piece, as the action says; a closed connection is not an error."""
    with suppress(StreamClosedError):
        await connection.write(reply.head())
        for piece, pause_s in _pieces(reply, action):
            await connection.write(_chunk(piece) if reply.framing == "chunked" else piece)
            if pause_s:
                await asyncio.sleep(pause_s)
        if action.stall_after is not None:
            await _closed(connection)
        elif action.reset_half_body or reply.framing == "close":
            connection.close()
        else:
            await _end(connection, reply)


async def _end(connection: HTTP1Connection, reply: Reply) -> None:
    if reply.framing == "chunked":
        await connection.write(b"0\r\n\r\n")
    connection.finish()


def _pieces(reply: Reply, action: Action) -> Iterator[tuple[bytes, float]]:
    """Yield the pieces to send, each with the seconds to wait after it."""
    pieces = filter(None, reply.pieces())
    if action.endless and not reply.head_only:
        pieces = filter(None, chain(pieces, repeat(bytes(BLOCK_BYTES))))
    if action.stall_after is not None:
        pieces = filter(None, _first(pieces, action.stall_after))
    elif action.reset_half_body:
        pieces = filter(None, _first(pieces, reply.content.size // 2))
    if action.drip is not None:
        return ((piece, action.drip) for piece in _sliced(pieces, 1))
    if action.bytes_per_s is not None:
        size, rate = max(1, int(action.bytes_per_s / _PIECES_PER_S)), action.bytes_per_s
        return ((piece, len(piece) / rate) for piece in _sliced(pieces, size))
    return ((piece, 0.0) for piece in pieces)


def _first(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the first bytes up to a size."""
    for piece in pieces:
        if len(piece) >= size:
            yield piece[:size]
            return
        size -= len(piece)
        yield piece


def _sliced(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def _closed(connection: HTTP1Connection) -> None:
    """Wait until the client closes the connection."""
    closed = asyncio.Event()
    connection.set_close_callback(closed.set)
    if not connection.stream.closed():
        await closed.wait()
