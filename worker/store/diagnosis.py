"""Finds out whether a Redis that cannot be reached is a fault of the settings, or an outage that passes."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.store.sentinel import ask_sentinels
from worker.store.server import NO_TLS, ServerFault, fault_of

if TYPE_CHECKING:
    from config.settings import Settings

ANSWER_S = 2.0
"""How long a server may take to show which protocol it speaks."""

CLOSED = ("closed by server", "reset by peer")
"""Errors of a connection that the server ends at the first command, as one with TLS does."""

ONLY_TLS = "it speaks TLS; write rediss://, or the port without it"


def settings_fault(settings: Settings, url: str, error: Exception) -> ServerFault | None:
    """Return what to correct if an error comes from the settings; None for an outage.

    A server that has not answered is asked once more, on a connection of its own.

    Args:
        settings: of the process.
        url: of Redis.
        error: with which a connection or a command failed.
    """
    if fault := fault_of(error):
        return fault
    scheme = urlsplit(url).scheme
    if scheme == "sentinel":
        return _sentinel_fault(settings, url, error)
    if scheme == "rediss" and _answers_plain_text(url):
        return ServerFault(NO_TLS)
    if scheme == "redis" and any(text in str(error) for text in CLOSED) and _answers_tls(url):
        return ServerFault(ONLY_TLS)
    return None


def _sentinel_fault(settings: Settings, url: str, error: Exception) -> ServerFault | None:
    """Return the fault of Sentinels that refuse the login, or know no such primary. One that is down is an outage."""
    if "No master found" not in str(error):
        return None
    answers, name = ask_sentinels(settings, url), settings.sentinel_master
    if answers.primaries is None:
        if answers.refused_login is None:
            return None
        return ServerFault(
            f"the Sentinels refuse the login ({answers.refused_login}); correct PHOTOGPT_SENTINEL_PASSWORD"
        )
    if name in answers.primaries:
        return None
    known = f"they know {', '.join(sorted(answers.primaries))}" if answers.primaries else "they know none"
    return ServerFault(f"the Sentinels know no primary {name!r}, and {known}; correct PHOTOGPT_SENTINEL_MASTER")


def _answers_plain_text(url: str) -> bool:
    """Whether the server answers a PING without TLS."""
    try:
        with _connected(url) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in {b"+", b"-"}
    except OSError:
        return False


def _answers_tls(url: str) -> bool:
    """Whether the server completes a handshake of TLS; its certificate does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connected(url) as connection, context.wrap_socket(connection):
            return True
    except OSError:
        return False


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), ANSWER_S)


def unknown_host(url: str, variable: str) -> str | None:
    """Return a sentence if DNS does not know a host of a URL, else None. It may get to know it later.

    Args:
        url: of Redis, of Sentinels or of RabbitMQ.
        variable: that holds it.
    """
    for part in url.split(";"):
        host = urlsplit(part).hostname
        try:
            if host:
                socket.getaddrinfo(host, None)
        except OSError as error:
            reason = error.strerror or error
            return f"the host {host!r} is unknown ({reason}); correct {variable}, unless DNS gets to know it later"
    return None
