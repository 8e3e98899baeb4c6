"""What the address guard lets through, and what no setting opens. `test_guard_battery.py` has what it refuses."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import requests

from tests.contract.conftest import Names, Open, post
from tests.contract.peers import Peer, answering, headers_of
from worker.http.guard import AddressRefused

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fe80::a9fe:a9fe",
]
METADATA_IN_DISGUISE = [
    "::ffff:169.254.169.254",
    "::ffff:0:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "::ffff:168.63.129.16",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called(names: Names, guarded: Open, address: str) -> None:
    """A public address is connected to."""
    names.lead("good.example", [address])
    with pytest.raises(requests.ConnectionError):
        post(guarded(), "https://good.example/hook")
    assert [connection[0] for connection in names.connected] == [address]


def test_an_unresolved_name_is_a_connection_error(names: Names, guarded: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved is a connection error, which is retried, and not a refusal."""

    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(requests.ConnectionError, match=r"gone\.example"):
        post(guarded(), "https://gone.example/")


# -- the allow list -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "network"), [("127.0.0.1", "127.0.0.0/8"), ("::1", "::1/128")])
def test_the_allow_list_lets_a_network_through(guarded: Open, host: str, network: str) -> None:
    """An allowed private network is connected to, with the Host header of the URL."""
    with Peer(answering(204), host=host) as peer:
        assert post(guarded(network), f"{peer.url}/hook").status_code == 204
        assert headers_of(peer.requests[0])["host"] == peer.url.removeprefix("http://")


def test_an_allowed_name_is_called_under_its_name(names: Names, guarded: Open) -> None:
    """A name with an allowed address is called with its own Host header."""
    names.lead("inside.example", ["127.0.0.1"])
    with Peer(answering(204)) as peer:
        assert post(guarded("127.0.0.1/32"), f"http://inside.example:{peer.port}/").status_code == 204
        assert headers_of(peer.requests[0])["host"] == f"inside.example:{peer.port}"


def test_networks_outside_the_allow_list_stay_refused(names: Names, guarded: Open) -> None:
    """A name with an address outside of the allow list is refused."""
    for address in ("10.0.0.1", "192.168.1.1"):
        names.lead("evil.example", [address, "127.0.0.1"])
        with pytest.raises(AddressRefused):
            post(guarded("127.0.0.0/8"), "http://evil.example/")
    assert names.connected == []


def test_public_addresses_stay_allowed(names: Names, guarded: Open) -> None:
    """A public address is connected to although an allow list is set."""
    names.lead("good.example", ["8.8.8.8"])
    with pytest.raises(requests.ConnectionError):
        post(guarded("10.0.0.0/8"), "http://good.example/")
    assert [connection[0] for connection in names.connected] == ["8.8.8.8"]


@pytest.mark.parametrize("address", [*METADATA, *METADATA_IN_DISGUISE])
def test_no_allow_list_opens_metadata(names: Names, guarded: Open, address: str) -> None:
    """A metadata address is refused in every embedding, even if all networks are allowed."""
    names.lead("evil.example", [address])
    with pytest.raises(AddressRefused):
        post(guarded("0.0.0.0/0", "::/0"), "http://evil.example/latest/meta-data/")
    assert names.connected == []
