"""The address guard refuses forbidden addresses before a connection opens."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import requests

from tests.contract.conftest import Names, Open, host_of, post
from tests.contract.peers import Peer, answering, headers_of, listening
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
FORBIDDEN = [
    *METADATA,
    *METADATA_IN_DISGUISE,
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_with_a_forbidden_address_is_refused(names: Names, guarded: Open, address: str, scheme: str) -> None:
    """A name that resolves to a forbidden address is refused without a connection."""
    names.lead("evil.example", [address])
    with pytest.raises(AddressRefused, match=r"evil\.example"):
        post(guarded(), f"{scheme}://evil.example/hook")
    assert names.connected == []


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_forbidden_address_itself_is_refused(names: Names, guarded: Open, address: str) -> None:
    """A forbidden address in the URL is refused without a connection."""
    with pytest.raises(requests.RequestException):
        post(guarded(), f"http://{host_of(address)}:8080/hook")
    assert names.connected == []


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called(names: Names, guarded: Open, address: str) -> None:
    """A public address is connected to."""
    names.lead("good.example", [address])
    with pytest.raises(requests.ConnectionError):
        post(guarded(), "https://good.example/hook")
    assert [connection[0] for connection in names.connected] == [address]


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize("first", [True, False])
def test_mixed_answers_are_refused(names: Names, guarded: Open, address: str, *, first: bool) -> None:
    """A name with a public and a forbidden address never leads to the forbidden one."""
    names.lead("mixed.example", [address, "8.8.8.8"] if first else ["8.8.8.8", address])
    with pytest.raises(requests.RequestException):
        post(guarded(), "http://mixed.example/")
    assert address not in [connection[0] for connection in names.connected]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"])
def test_mixed_answers_open_no_connection_at_all(names: Names, guarded: Open, address: str) -> None:
    """A name with a public and a forbidden address is refused without a connection."""
    names.lead("mixed.example", ["8.8.8.8", address])
    with pytest.raises(AddressRefused):
        post(guarded(), "http://mixed.example/")
    assert names.connected == []


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.0.1.", "localhost", "[::1]", "[::]"]
)
def test_other_spellings_of_loopback_are_refused(guarded: Open, host: str) -> None:
    """No spelling of the loopback address reaches a listening socket."""
    with listening() as (port, was_connected):
        with pytest.raises(requests.RequestException):
            post(guarded(), f"http://{host}:{port}/")
        assert not was_connected()


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8@127.0.0.1:{port}/",
        "http://good.example:80@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}#@good.example/",
        "http://127.0.0.1:{port}\\@good.example/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[fe80::1%25lo]:{port}/",
        "http://[::1%25lo]:{port}/",
        "http://127.0.0.1%00.good.example:{port}/",
        "http://①②⑦.⓪.⓪.①:{port}/",
    ],
)
def test_urls_that_hide_their_host_are_refused(names: Names, guarded: Open, url: str) -> None:
    """A URL that hides its host in user info, fragment, backslash, zone id or digits reaches no listening socket."""
    names.lead("good.example", ["8.8.8.8"])
    with listening() as (port, was_connected):
        with pytest.raises((requests.RequestException, ValueError)):
            post(guarded(), url.format(port=port))
        assert not was_connected()
    assert all(connection[0] == "8.8.8.8" for connection in names.connected)


@pytest.mark.parametrize("lookups", [1, 2, 3])
def test_rebinding_between_check_and_connect_is_harmless(names: Names, guarded: Open, lookups: int) -> None:
    """A name that changes to loopback after the check is not connected to."""
    names.lead("moving.example", *([["8.8.8.8"]] * lookups), ["127.0.0.1"])
    with listening() as (port, was_connected):
        for _ in range(3):
            with pytest.raises(requests.RequestException):
                post(guarded(), f"http://moving.example:{port}/")
        assert not was_connected()
    assert "127.0.0.1" not in [connection[0] for connection in names.connected]


def test_a_redirect_to_metadata_is_not_followed(names: Names, guarded: Open) -> None:
    """A redirect from an allowed receiver to a metadata service is not followed."""
    target = "http://169.254.169.254/latest/meta-data/"
    with Peer(answering(302, b"", f"Location: {target}")) as peer:
        assert post(guarded("127.0.0.0/8"), peer.url).status_code == 302
    assert {connection[0] for connection in names.connected} == {"127.0.0.1"}


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
