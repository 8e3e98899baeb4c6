"""Write an answer to a connection: complete, or damaged by a fault."""

import asyncio
from contextlib import suppress

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from worker.sandbox.api.replies import Reply
from worker.sandbox.faults.actions import Action

_CHUNK = b" " * 65536


def send(connection: HTTP1Connection, reply: Reply) -> None:
    """Write a complete answer and keep the connection open for the next request."""
    if not connection.stream.closed():
        connection.write(reply.encode())
        connection.finish()


async def send_faulty(connection: HTTP1Connection, reply: Reply, action: Action) -> None:
    """Write an answer as the action says; a closed connection is not an error."""
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
    """Pad the body with spaces up to the size; it stays valid JSON."""
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
