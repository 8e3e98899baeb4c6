"""Which IP addresses are public, and which belong to metadata services."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

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
"""Networks that are not public, although `requests-hardened` or some Python versions accept them."""

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
"""Where clouds serve credentials to their machines. These are refused inside of an allowed network, too."""


def read_address(text: str) -> Address:
    """Return the address of a text, which may have brackets and a zone.

    Raises:
        ValueError: it is a name.
    """
    return ipaddress.ip_address(text.strip("[]").split("%")[0])


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of some networks contains an address."""
    return any(address in network for network in networks if network.version == address.version)


def is_metadata(address: Address) -> bool:
    """Whether an address is a metadata service's, also as IPv4 embedded in IPv6."""
    return any(is_in(each, METADATA) for each in [address, *_embedded(address)])


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address may embed."""
    if address.version == 4:
        return []
    packed = address.packed
    last = ipaddress.IPv4Address(packed[12:])  # mapped, compatible, SIIT, NAT64, ISATAP
    return [last, ipaddress.IPv4Address(packed[2:6])] if packed[:2] == bytes.fromhex("2002") else [last]


def is_public(address: Address) -> bool:
    """Whether an address is public; of one in NAT64 the embedded IPv4 address decides."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return is_public(ipaddress.IPv4Address(address.packed[12:]))
        if address.ipv4_mapped is not None:
            return False
    return address.is_global and not address.is_multicast and not is_in(address, ALSO_REFUSED)
