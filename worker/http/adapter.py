"""Connections and sessions over `requests`: bounded by `call_within`, never idle for long, trusting the system's CAs.

A NAT or load balancer may drop a connection that is idle, and says so only when the next request is lost. So no request
goes out on a connection that has been idle for more than a few seconds.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import requests.certs
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ProxyError
from urllib3.util.ssl_ import create_urllib3_context

from worker.http.deadline import MAX_IDLE_S, current_call

KEEP_ALIVE: list[tuple[int, int, int | bytes]] = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), 5)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL")
        if hasattr(socket, name)
    ),
]
"""Socket options: TCP asks a silent peer every 5 s whether it is still there."""


REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Codes that no session here follows."""


class _FinalResponse(http.client.HTTPResponse):
    """An answer without the informational ones (1xx) before it; `http.client` skips only 100."""

    def begin(self) -> None:
        """Read heads until one is final. 101 is final: nothing here asks for another protocol."""
        super().begin()
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]  # `begin` reads a head only while there is none
            super().begin()


class _Registering:
    """Registers a new or kept-alive connection with the call of this thread, and closes one that was idle too long."""

    sock: socket.socket | None
    _connecting = False
    _last_sent_at = 0.0

    def connect(self) -> None:
        """Connect; through a proxy, open the tunnel. None of its bytes belong to the request."""
        self._connecting = True
        try:
            super().connect()  # type: ignore[misc]  # mixed into connections only
        finally:
            self._connecting = False

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use this connection again."""
        call = current_call()
        max_idle_s = MAX_IDLE_S if call is None else call.max_idle_s
        if time.monotonic() - self._last_sent_at > max_idle_s:
            return False
        return bool(super().is_connected)  # type: ignore[misc]  # mixed into connections only

    def send(self, data: Any) -> None:
        """Register the socket, then send; refuse to start a request past the deadline."""
        if self.sock is None:
            self.connect()
        call = current_call()
        if call is not None:
            if not call.sent and call.remaining_s < 0:  # the process was suspended, and its lease expired
                raise TimeoutError("the deadline of this call passed before it was sent")
            call.sock, call.sent = self.sock, call.sent or not self._connecting
        self._last_sent_at = time.monotonic()
        super().send(data)  # type: ignore[misc]  # mixed into connections only


class _HTTPConnection(_Registering, HTTPConnection):
    response_class = _FinalResponse


class _HTTPSConnection(_Registering, HTTPSConnection):
    response_class = _FinalResponse

    def _tunnel(self) -> None:
        """Name a proxy that breaks CONNECT; urllib3 would report a broken connection to the receiver."""
        try:
            super()._tunnel()
        except TimeoutError:  # the proxy may be waiting for the receiver
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ProxyError("the proxy opened no tunnel", error) from error


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


POOLS: dict[str, Any] = {"http": _HTTPPool, "https": _HTTPSPool}


class BoundedAdapter(HTTPAdapter):
    """An adapter whose connections `call_within` can close. It trusts the authorities that the system trusts."""

    def __init__(self, *, ca_file: Path | None = None, connections: int = 10, pools: int = 10) -> None:
        """Open no connection yet.

        Args:
            ca_file: PEM file with more certificate authorities to trust.
            connections: kept-alive connections per server.
            pools: servers to which connections are kept.
        """
        self._tls = trusting_context(ca_file, type(self).__name__)
        super().__init__(max_retries=0, pool_connections=pools, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our connection pools."""
        super().init_poolmanager(*args, ssl_context=self._tls, socket_options=KEEP_ALIVE, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use our connection pools towards a proxy, too."""
        tls = {"ssl_context": self._tls, "proxy_ssl_context": self._tls}
        manager = super().proxy_manager_for(proxy, socket_options=KEEP_ALIVE, **tls, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the trusted authorities to the TLS context; `requests` would add those of certifi."""
        if verify is not True:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]  # requests ships no types


@cache
def trusting_context(ca_file: Path | None, adapter: str) -> ssl.SSLContext:
    """Return a TLS context for a client, which trusts the system's authorities and those of a PEM file.

    It is made once in a process: reading the system's list takes 20 ms of CPU, which `requests` spends on every
    connection. Each class of adapters has its own, because urllib3 changes a context: for the address guard, which
    names the host, it sets `check_hostname` to False and compares the names without OpenSSL.

    Args:
        ca_file: PEM file with more certificate authorities to trust.
        adapter: name of the adapters' class.
    """
    del adapter  # only part of the key
    context = create_urllib3_context()
    context.load_default_certs()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath and any(Path(paths.capath).iterdir())):
        context.load_verify_locations(requests.certs.where())  # a system without a list, such as a small container
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


class _Session(requests.Session):
    """A session that ignores redirects: `requests` reads their whole body, even with `allow_redirects=False`."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target."""
        del resp


def bounded_session(adapters: Mapping[str, HTTPAdapter]) -> requests.Session:
    """Return a session that ignores environment variables and .netrc, and keeps no cookies.

    Args:
        adapters: by URL prefix; they replace the standard adapters.
    """
    session = _Session()
    session.trust_env = False  # environment proxies and .netrc could receive or add credentials
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for prefix, adapter in adapters.items():
        session.mount(prefix, adapter)
    return session
