"""The address guard: decides, when a socket opens, to which addresses webhooks and downloads of outputs may go.

A name is resolved once. `requests-hardened` checks each of its addresses, and this module adds what that does not cover
(tested one by one, see `ops/adr/`): some networks, and an allow list for hosts in the operator's own network.
Metadata services are refused even then. One forbidden address refuses the name. Connections go to the checked
addresses, one after the other until one answers; no name reaches a connection pool.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress, filter_host

from worker.http.adapter import BoundedAdapter
from worker.http.addresses import NAT64, Address, Network, is_in, is_metadata, is_public, read_address
from worker.http.deadline import current_call

MAX_POOLS = 32  # hosts to which connections are kept
DEAD_S = 60.0  # an address that could not be reached is tried last for this time
MAX_DEAD = 1000


class AddressRefused(requests.RequestException):
    """The name resolves to an address to which no request may go. No connection was opened."""

    kind = "address_refused"


class PortRefused(AddressRefused):
    """No request may go to this port. No connection was opened."""

    kind = "port_refused"


class SchemeRefused(AddressRefused):
    """No request may use this scheme. No connection was opened."""

    kind = "scheme_refused"


class NotResolved(requests.ConnectionError):
    """The name does not exist, or the resolver does not answer."""


class ClosedAdapter(HTTPAdapter):
    """Refuses every request of a scheme."""

    def __init__(self, message: str) -> None:
        """Take the error message."""
        super().__init__()
        self._message = message

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Refuse."""
        del request, args, kwargs
        raise SchemeRefused(self._message)


class ProxiedAdapter(BoundedAdapter):
    """Connects to a proxy, which resolves and guards names. Literal addresses and ports are checked here."""

    def __init__(
        self, ports: Sequence[int], allow: Sequence[Network], *, pool_size: int, ca_file: Path | None = None
    ) -> None:
        """Take allowed ports and networks from the settings."""
        super().__init__(ca_file=ca_file, connections=pool_size, pools=MAX_POOLS)
        self._ports, self._allow = frozenset(ports), tuple(allow)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Check address and port, then send to the proxy."""
        parts = urlsplit(str(request.url))
        host = parts.hostname or ""
        try:
            address = read_address(host)
        except ValueError:  # a name
            allowed = False
        else:
            allowed = is_in(address, self._allow) and not is_metadata(address)
            if not allowed and not is_public(address):
                raise AddressRefused(f"{host} is not a public address")
        if not allowed:
            _check_port(host, parts.port or (443 if parts.scheme == "https" else 80), self._ports)
        return super().send(request, *args, **kwargs)


def _check_port(host: str, port: int, ports: frozenset[int]) -> None:
    if port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        raise PortRefused(f"requests may not go to port {port} of {host}, only to {allowed}")


class GuardedAdapter(BoundedAdapter):
    """Connects to public addresses, and to addresses on the allow list."""

    def __init__(
        self,
        scheme: str,
        allow: Sequence[Network],
        *,
        ports: Sequence[int],
        pool_size: int,
        ca_file: Path | None = None,
    ) -> None:
        """Guard one scheme.

        Args:
            scheme: `http` or `https`.
            allow: networks that are allowed although they are not public, on any port.
            ports: allowed ports of all other addresses.
            pool_size: kept-alive connections per host.
            ca_file: PEM file with more certificate authorities to trust.
        """
        super().__init__(ca_file=ca_file, connections=pool_size, pools=MAX_POOLS)
        self._allow = tuple(allow)
        self._ports = frozenset(ports)
        self._https = scheme == "https"
        self._dead: dict[Address, float] = {}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Resolve the name, check all its addresses, and send to the first that can be reached.

        Only the last address gets the whole connect timeout: the time for the others is shared, so that the deadline
        leaves time for each. After the first byte of the request no other address is tried.
        """
        addresses = self._checked(request)
        call, timeout = current_call(), kwargs.get("timeout")
        tls_error: requests.exceptions.SSLError | None = None
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            try:
                kwargs["timeout"] = _share(timeout, left)
                return super().send(_pinned(request, address), *args, **kwargs)
            except (requests.ConnectionError, requests.Timeout) as error:
                if isinstance(error, requests.exceptions.SSLError):
                    tls_error = error
                if left and call is not None and not call.sent and call.remaining_s > 0:
                    self._remember_dead(address)
                    continue
                if tls_error is None or error is tls_error:
                    raise
                raise tls_error from None  # an address without a route says less than a refused certificate
        raise AssertionError("a name that resolves has an address")

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001 - the signature of requests
        cert: Any = None,
    ) -> Any:
        """Connect to the checked address only. A request that was not checked has none, and fails here."""
        host_params, pool_kwargs = super().build_connection_pool_key_attributes(request, verify, cert)
        host: str = host_params["host"]
        port: int | None = host_params["port"]  # requests' types promise a number
        address: Address = request.checked_address  # type: ignore[attr-defined]  # set by `_pinned` alone
        name = f"[{host}]" if ":" in host else host
        request.headers["Host"] = f"{name}:{port}" if port is not None else name
        if self._https:
            pool_kwargs |= {"assert_hostname": host, "server_hostname": host}  # type: ignore[misc]  # for urllib3's pool
        return {**host_params, "host": str(address)}, pool_kwargs

    def _checked(self, request: requests.PreparedRequest) -> list[Address]:
        """Return the addresses of a request's host, the reachable ones first.

        Raises:
            AddressRefused: one of them is forbidden, or the port is.
            NotResolved: there is none.
        """
        try:
            host_params, _ = super().build_connection_pool_key_attributes(request, verify=True)
        except ValueError as error:
            raise requests.exceptions.InvalidURL(error, request=request) from error
        host, port = host_params["host"], host_params["port"] or (443 if self._https else 80)
        addresses = list(dict.fromkeys(_resolve(host, port)))
        if not all(is_in(address, self._allow) and not is_metadata(address) for address in addresses):
            if not all(is_public(address) and _is_accepted(address, port) for address in addresses):
                raise AddressRefused(f"{host} resolves to an address that is not public")
            _check_port(host, port, self._ports)
        since = time.monotonic() - DEAD_S
        return sorted(addresses, key=lambda address: self._dead.get(address, since) > since)

    def _remember_dead(self, address: Address) -> None:
        if len(self._dead) >= MAX_DEAD:
            self._dead.clear()
        self._dead[address] = time.monotonic()


def _pinned(request: requests.PreparedRequest, address: Address) -> requests.PreparedRequest:
    """Return a copy of a request that goes to a checked address."""
    pinned = copy(request)
    pinned.headers = request.headers.copy()
    pinned.checked_address = address  # type: ignore[attr-defined]  # read by `build_connection_pool_key_attributes`
    return pinned


def _share(timeout: Any, left: int) -> Any:
    """Return timeouts for one of several addresses.

    Args:
        timeout: seconds to connect and to read.
        left: number of addresses that follow.
    """
    call = current_call()
    if left == 0 or call is None or not isinstance(timeout, tuple):
        return timeout
    connect_s, read_s = timeout
    return min(connect_s, max(0.01, call.remaining_s / (left + 2))), read_s


def _is_accepted(address: Address, port: int) -> bool:
    """Whether requests-hardened accepts an address. It refuses all of NAT64, which `is_public` decides."""
    try:
        filter_host(str(address), port, allow_loopback=False)
    except InvalidIPAddress:
        return address in NAT64
    return True


def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotResolved(f"{host} cannot be resolved: {error}") from error
    if not found:
        raise NotResolved(f"{host} has no address")
    return [read_address(str(entry[4][0])) for entry in found]
