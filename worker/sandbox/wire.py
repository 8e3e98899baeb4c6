"""How an answer is put on the wire: whole, or in one of the ways in which answers get lost."""

import asyncio
from contextlib import suppress

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from worker.sandbox.faults import Action
from worker.sandbox.replies import Reply

_CHUNK = b" " * 65536


def send(connection: HTTP1Connection, reply: Reply) -> None:
    """Writes a whole answer at once and leaves the connection open for the next request."""
    if not connection.stream.closed():
        connection.write(reply.encode())
        connection.finish()


async def send_spoilt(connection: HTTP1Connection, reply: Reply, action: Action) -> None:
    """Writes an answer as the action says; a client that went away is no error."""
    with suppress(StreamClosedError):
        if action.huge is not None:
            await _send_huge(connection, reply, action.huge)
        elif action.reset_half_body:
            await connection.write(reply.head() + reply.body[: len(reply.body) // 2])
            connection.close()
        elif action.drip is not None:
            await _drip(connection, reply, action.drip)
        else:
            send(connection, reply)


async def _send_huge(connection: HTTP1Connection, reply: Reply, size: int) -> None:
    """The answer, with so much white space behind it that it has the size: still JSON."""
    await connection.write(reply.head(max(size, len(reply.body))) + reply.body)
    left = size - len(reply.body)
    while left > 0:
        await connection.write(_CHUNK[:left])
        left -= len(_CHUNK)
    connection.finish()


async def _drip(connection: HTTP1Connection, reply: Reply, interval_s: float) -> None:
    await connection.write(reply.head())
    for position in range(len(reply.body)):
        await asyncio.sleep(interval_s)
        await connection.write(reply.body[position : position + 1])
    connection.finish()
