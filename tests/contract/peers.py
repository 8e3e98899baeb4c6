"""A TCP server on loopback whose every connection follows a script."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

DRIP_S = 0.02


@dataclass
class Conversation:
    """One connection, seen from the server."""

    sock: socket.socket
    over: threading.Event
    #: The client closed the connection before the script ended.
    left: bool = False

    def request(self) -> bytes:
        """Read one request: head and body. Empty if the client closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.sock.recv(65536)
            if not chunk:
                return data
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            chunk = self.sock.recv(65536)
            if not chunk:
                break
            body += chunk
        return head + b"\r\n\r\n" + body

    def say(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.left = not self.over.is_set()
            raise

    def answer(self, status: int = 200, body: bytes = b"", *headers: str) -> None:
        """Send one answer; the connection stays."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
        self.say("\r\n".join([*lines, "", ""]).encode() + body)

    def drip(self, data: bytes) -> None:
        """Send one byte at a time until the test ends."""
        for number in range(len(data)):
            self.say(data[number : number + 1])
            if self.over.wait(DRIP_S):
                return

    def silence(self) -> None:
        """Send nothing until the client closes or the test ends."""
        self.sock.settimeout(0.1)
        while not self.over.is_set():
            try:
                gone = not self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                self.left = not self.over.is_set()
                return

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Conversation], None]


@dataclass
class Peer:
    """The server. Use it in a `with` block."""

    script: Script
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    conversations: list[Conversation] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to listen."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((self.host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conversation in self.conversations:
            with contextlib.suppress(OSError):
                conversation.sock.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Return the server's URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        conversation = Conversation(sock, self._over)
        self.conversations.append(conversation)
        try:
            with contextlib.suppress(OSError):
                if self.tls is not None:
                    conversation.sock = self.tls.wrap_socket(sock, server_side=True)
                while request := conversation.request():
                    self.requests.append(request)
                    self.script(conversation)
        finally:
            conversation.sock.close()


def headers_of(request: bytes) -> dict[str, str]:
    """Return the headers of a request; names in lower case."""
    _, *lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def answering(status: int = 200, body: bytes = b"", *headers: str) -> Script:
    """Return a script that answers every request alike."""
    return lambda conversation: conversation.answer(status, body, *headers)


def tunnel(target: int) -> Script:
    """Act as a proxy that opens a tunnel to one port of this machine, whatever the request."""

    def script(conversation: Conversation) -> None:
        with socket.create_connection(("127.0.0.1", target)) as there:
            conversation.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
            there.setblocking(False)
            conversation.sock.setblocking(False)
            pump(conversation, there)

    return script


def pump(conversation: Conversation, there: socket.socket) -> None:
    """Carry bytes both ways until one side closes."""
    while not conversation.over.wait(0.005):
        for source, sink in ((conversation.sock, there), (there, conversation.sock)):
            try:
                data = source.recv(65536)
            except BlockingIOError:
                continue
            if not data:
                return
            sink.sendall(data)


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, Callable[[], bool]]]:
    """Open a socket that accepts nothing; yield its port and a function that says whether a client connected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def was_connected() -> bool:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield listener.getsockname()[1], was_connected


def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Return a server-side TLS context with a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    return context
