"""The address guard: decides, when a socket opens, to which addresses webhooks may go.

`requests-hardened` resolves the name, refuses private addresses, and connects to exactly the address that it checked.
This module adds what it does not cover (tested one by one, see `ops/adr/`): some networks, names with several
addresses, and an allow list for receivers in the operator's own network. Metadata services are refused even then.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter

from worker.http.deadline import BoundedAdapter

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ALSO_REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's host
        "192.0.0.0/24",  # protocol assignments; Python versions differ on which of these networks are global
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # embeds IPv4, as do the next three
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001:20::/28",  # ORCHIDv2
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: IPv4 addresses as an IPv6-only network writes them. The embedded IPv4 address decides."""
METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # AWS, GCP, Azure, ECS
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure
        "fd00:ec2::254/128",  # AWS
        "fe80::/10",
    )
)


class AddressRefused(requests.RequestException):
    """The name resolves to an address that webhooks may not go to. No connection was opened."""

    kind = "address_refused"


class PortRefused(AddressRefused):
    """Webhooks may not go to this port. No connection was opened."""

    kind = "port_refused"


class SchemeRefused(AddressRefused):
    """Webhooks may not use this scheme. No connection was opened."""

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

    def __init__(self, ports: Sequence[int], allow: Sequence[Network], *, pool_size: int) -> None:
        """Take allowed ports and networks from the settings."""
        super().__init__(max_retries=0, pool_connections=32, pool_maxsize=pool_size)
        self._ports, self._allow = frozenset(ports), tuple(allow)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Check address and port, then send to the proxy."""
        parts = urlsplit(str(request.url))
        host = parts.hostname or ""
        try:
            address = _address(host)
        except ValueError:  # a name
            allowed = False
        else:
            allowed = _in(address, self._allow) and not _metadata(address)
            if not allowed and not _public(address):
                raise AddressRefused(f"{host} is not a public address")
        if not allowed:
            _check_port(host, parts.port or (443 if parts.scheme == "https" else 80), self._ports)
        return super().send(request, *args, **kwargs)


def _check_port(host: str, port: int, ports: frozenset[int]) -> None:
    if port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        raise PortRefused(f"webhooks may not go to port {port} of {host}, only to {allowed}")


class GuardedAdapter(BoundedAdapter, IPFilterAdapter):  # type: ignore[misc]  # it ships no types
    """Connects to public addresses, and to addresses on the allow list."""

    def __init__(self, scheme: str, allow: Sequence[Network], *, ports: Sequence[int], pool_size: int) -> None:
        """Guard one scheme.

        Args:
            scheme: `http` or `https`.
            allow: networks that are allowed although they are not public, on any port.
            ports: allowed ports of all other addresses.
            pool_size: kept-alive connections per receiver.
        """
        self._allow = tuple(allow)
        self._ports = frozenset(ports)
        self._https = scheme == "https"
        IPFilterAdapter.__init__(self, is_https_proto=self._https)
        HTTPAdapter.__init__(self, max_retries=0, pool_connections=32, pool_maxsize=pool_size)

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001 - the signature of requests
        cert: Any = None,
    ) -> Any:
        """Resolve the name, check its addresses, and connect to the checked address only."""
        host_params, pool_kwargs = HTTPAdapter.build_connection_pool_key_attributes(self, request, verify, cert)
        host, port = host_params["host"], host_params["port"]
        port = port or (443 if self._https else 80)
        answers = _resolve(host, port)
        if answers and all(_in(answer, self._allow) and not _metadata(answer) for answer in answers):
            return self._pinned(request, host_params, pool_kwargs, answers[0])
        if answers and answers[0] in NAT64 and all(map(_public, answers)):  # requests-hardened refuses all of NAT64
            _check_port(host, port, self._ports)
            return self._pinned(request, host_params, pool_kwargs, answers[0])
        try:
            host_params, pool_kwargs = IPFilterAdapter.build_connection_pool_key_attributes(self, request, verify, cert)
        except InvalidIPAddress:
            raise AddressRefused(f"{host} resolves to an address that is not public") from None
        refused = [answer for answer in [*answers, _address(host_params["host"])] if not _public(answer)]
        if refused:
            raise AddressRefused(f"{host} resolves to an address that is not public")
        _check_port(host, port, self._ports)
        return host_params, pool_kwargs

    def _pinned(self, request: requests.PreparedRequest, host_params: Any, pool_kwargs: Any, address: Address) -> Any:
        host, port = host_params["host"], host_params["port"]
        name = f"[{host}]" if ":" in host else host
        request.headers["Host"] = f"{name}:{port}" if port is not None else name
        if self._https:
            pool_kwargs |= {"assert_hostname": host, "server_hostname": host}
        return {**host_params, "host": str(address)}, pool_kwargs


def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotResolved(f"{host} cannot be resolved: {error}") from error
    return [_address(str(entry[4][0])) for entry in found]


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.strip("[]").split("%")[0])


def _in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _metadata(address: Address) -> bool:
    """Return whether an address is a metadata service's, also as IPv4 embedded in IPv6."""
    return any(_in(each, METADATA) for each in [address, *_embedded(address)])


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address may embed."""
    if address.version == 4:
        return []
    packed = address.packed
    last = ipaddress.IPv4Address(packed[12:])  # mapped, compatible, SIIT, NAT64, ISATAP
    return [last, ipaddress.IPv4Address(packed[2:6])] if packed[:2] == bytes.fromhex("2002") else [last]


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return _public(ipaddress.IPv4Address(address.packed[12:]))
        if address.ipv4_mapped is not None:
            return False
    return address.is_global and not address.is_multicast and not _in(address, ALSO_REFUSED)
