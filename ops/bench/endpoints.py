"""Many receivers of webhooks in one process: good ones, a dead one and a dripping one, each on a port of its own.

    python ops/bench/endpoints.py --good 100 --book FILE

Prints one JSON object with the URLs and serves until it is told to end. Every webhook that a good one got is a line in
FILE: the epoch seconds at which its first byte was there, and its webhook-id. Part of `receivers.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from pathlib import Path
from typing import TextIO, cast

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
BEGUN = b"HTTP/1.1 204 No Content\r\nX-Slow: "
DRIPS = 3600
DRIP_S = 1.0
FLUSH_S = 0.2


class Good(asyncio.Protocol):
    """Takes everything at once."""

    def __init__(self, book: TextIO) -> None:
        """Write into this book."""
        self._book = book
        self._data = b""
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        if not self._data:
            self._since = time.time()
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(headers[b"content-length"]):
            self._transport.write(TAKEN)
            self._book.write(f"{self._since:.6f} {headers[b'webhook-id'].decode()}\n")
            self._data = b""


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a header's byte a second, for an hour."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(BEGUN)
        for _ in range(DRIPS):
            writer.write(b"z")
            await writer.drain()
            await asyncio.sleep(DRIP_S)
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


def dead() -> socket.socket:
    """Return a socket to which one can connect, and that nobody reads."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


async def serve(count: int, book: TextIO) -> None:
    """Open all, say where, and go on."""
    loop = asyncio.get_running_loop()
    good = [await loop.create_server(lambda: Good(book), "127.0.0.1", 0, backlog=1024) for _ in range(count)]
    dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
    with dead() as silent:
        ports = [server.sockets[0].getsockname()[1] for server in [*good, dripping]]
        urls = [f"http://127.0.0.1:{port}/hook" for port in [*ports, silent.getsockname()[1]]]
        print(json.dumps({"good": urls[:count], "bad": urls[count:]}), flush=True)
        while True:
            await asyncio.sleep(FLUSH_S)
            book.flush()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--book", type=Path, required=True)
    asked = parser.parse_args()
    with asked.book.open("a") as book:
        asyncio.run(serve(asked.good, book))


if __name__ == "__main__":
    main()
