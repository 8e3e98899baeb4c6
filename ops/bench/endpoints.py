"""Many webhook receivers in one process, each on its own port: good ones, a dead one and a slow one.

    python -m ops.bench.endpoints --good 100 --log FILE

Prints one JSON object with the URLs and serves until it is killed. Every webhook that a good receiver gets is a line in
FILE: the epoch seconds of its first byte, and its webhook-id. Used by `receivers.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from pathlib import Path
from typing import TextIO, cast

ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
SLOW_START = b"HTTP/1.1 204 No Content\r\nX-Slow: "
DRIPS = 3600
DRIP_S = 1.0
FLUSH_S = 0.2


class Good(asyncio.Protocol):
    """Accepts every webhook at once."""

    def __init__(self, log: TextIO) -> None:
        """Log to this file."""
        self._log = log
        self._data = b""
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for answers."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer once a request is complete."""
        if not self._data:
            self._since = time.time()
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(headers[b"content-length"]):
            self._transport.write(ACCEPTED)
            self._log.write(f"{self._since:.6f} {headers[b'webhook-id'].decode()}\n")
            self._data = b""


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one byte of a header per second, for an hour."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SLOW_START)
        for _ in range(DRIPS):
            writer.write(b"z")
            await writer.drain()
            await asyncio.sleep(DRIP_S)
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


def dead() -> socket.socket:
    """Return a socket that accepts connections and reads nothing."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


async def serve(count: int, log: TextIO) -> None:
    """Open all ports, print the URLs, and serve."""
    loop = asyncio.get_running_loop()
    good = [await loop.create_server(lambda: Good(log), "127.0.0.1", 0, backlog=1024) for _ in range(count)]
    slow = await asyncio.start_server(drip, "127.0.0.1", 0)
    with dead() as unread:
        ports = [server.sockets[0].getsockname()[1] for server in [*good, slow]]
        urls = [f"http://127.0.0.1:{port}/hook" for port in [*ports, unread.getsockname()[1]]]
        print(json.dumps({"good": urls[:count], "bad": urls[count:]}), flush=True)
        while True:
            await asyncio.sleep(FLUSH_S)
            log.flush()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.log.open("a") as log:
        asyncio.run(serve(arguments.good, log))


if __name__ == "__main__":
    main()
