"""All known tricks to reach forbidden addresses, with recorded connections; pytest prints the table at its end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from config.settings import Settings
from tests.contract.conftest import Names, Open, host_of, post
from tests.contract.peers import Peer, answering, listening
from worker.domain.delivery import Delivery
from worker.domain.errors import DeliveryError
from worker.http.guard import AddressRefused
from worker.webhooks.sender import WebhookSender

ADDRESSES: dict[str, list[str]] = {
    "this host": ["0.0.0.0", "0.1.2.3", "0.255.255.255", "::"],
    "loopback": ["127.0.0.1", "127.1.2.3", "127.255.255.255", "::1"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1"],
    "carrier NAT": ["100.64.0.1", "100.127.255.254"],
    "link-local": ["169.254.0.1", "169.254.255.254", "fe80::1", "febf::1", "fec0::1"],
    "metadata": [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fe80::a9fe:a9fe",
    ],
    "protocol, benchmark": ["192.0.0.1", "192.0.0.170", "198.18.0.1", "198.19.255.254", "2001:2::1", "192.88.99.1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "multicast, broadcast": ["224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "ff02::1", "ff0e::1"],
    "IPv4 mapped": [
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:168.63.129.16",
        "::ffff:8.8.8.8",
    ],
    "IPv4 compatible": ["::127.0.0.1", "::10.0.0.1", "::169.254.169.254", "::8.8.8.8"],
    "IPv4 translated (SIIT)": ["::ffff:0:127.0.0.1", "::ffff:0:169.254.169.254"],
    "6to4": ["2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:a00:1::1", "2002:808:808::1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "64:ff9b::e000:1"],
    "NAT64, local": ["64:ff9b:1::1", "64:ff9b:1::127.0.0.1", "64:ff9b:1:ffff::8.8.8.8"],
    "Teredo, ORCHID": ["2001::1", "2001:0:7f00:1::1", "2001:10::1", "2001:20::1"],
    "discard, SRv6": ["100::1", "5f00::1"],
}

LOOPBACK_SPELLED = [
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "0",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:7f00:1]",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
]

HIDDEN = {
    "user info": ["http://8.8.8.8@127.0.0.1:{port}/", "http://good.example:80@127.0.0.1:{port}/"],
    "fragment, backslash": ["http://127.0.0.1:{port}#@good.example/", "http://127.0.0.1:{port}\\@good.example/"],
    "zone id": ["http://[fe80::1%25lo]:{port}/", "http://[::1%25lo]:{port}/", "http://[::1%lo]:{port}/"],
    "control characters": ["http://127.0.0.1%00.good.example:{port}/", "http://127.0.0.1%09:{port}/"],
}

Book = Callable[[str, str, list[Any]], None]


@pytest.fixture
def book(record_property: Callable[[str, object], None]) -> Book:
    """Add a refused trick to the table, with the number of connections it caused."""
    return lambda trick, what, connected: record_property("refused", (trick, what, len(connected)))


@pytest.mark.parametrize(("trick", "address"), [(trick, one) for trick, many in ADDRESSES.items() for one in many])
def test_forbidden_addresses(names: Names, guarded: Open, book: Book, trick: str, address: str) -> None:
    """A forbidden address is refused by name and by literal, on both schemes, alone and beside a public one."""
    for scheme in ("http", "https"):
        for answers in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
            names.lead("evil.example", answers)
            with pytest.raises(AddressRefused, match=r"evil\.example"):
                post(guarded(), f"{scheme}://evil.example/hook")
        with pytest.raises(AddressRefused):
            post(guarded(), f"{scheme}://{host_of(address)}/hook")
    assert names.connected == []
    book(trick, address, names.connected)


@pytest.mark.parametrize("host", LOOPBACK_SPELLED)
def test_other_spellings(guarded: Open, book: Book, host: str) -> None:
    """Decimal, octal, hexadecimal, short, dotted and full-width spellings reach no listening socket."""
    with listening() as (port, was_connected):
        with pytest.raises((requests.RequestException, ValueError)):
            post(guarded(), f"http://{host}:{port}/")
        assert not was_connected()
    book("odd spelling", host, [])


@pytest.mark.parametrize(("trick", "url"), [(trick, one) for trick, many in HIDDEN.items() for one in many])
def test_hidden_hosts(names: Names, guarded: Open, book: Book, trick: str, url: str) -> None:
    """URLs that two parsers read differently reach no listening socket."""
    names.lead("good.example", ["8.8.8.8"])
    with listening() as (port, was_connected):
        with pytest.raises((requests.RequestException, ValueError)):
            post(guarded(), url.format(port=port))
        assert not was_connected()
    assert [connection for connection in names.connected if connection[0] != "8.8.8.8"] == []
    book(trick, url, [])


@pytest.mark.parametrize("lookups", [1, 2, 3, 4])
def test_rebinding(names: Names, guarded: Open, book: Book, lookups: int) -> None:
    """A name that changes from a public to a private address is never connected to the private one."""
    with listening() as (port, was_connected):
        for home in ("127.0.0.1", "169.254.169.254", "::1"):
            names.lead("moving.example", *([["8.8.8.8"]] * lookups), [home])
            for _ in range(4):
                with pytest.raises(requests.RequestException):
                    post(guarded(), f"http://moving.example:{port}/")
        assert not was_connected()
    assert {connection[0] for connection in names.connected} <= {"8.8.8.8"}
    book("rebinding", f"after {lookups} lookups", [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/meta-data/", "http://[::1]:22/", "file:///etc/passwd"]
)
def test_redirects(names: Names, guarded: Open, book: Book, status: int, target: str) -> None:
    """A redirect from an allowed receiver to a forbidden target is not followed."""
    with Peer(answering(status, b"", f"Location: {target}")) as peer:
        assert post(guarded("127.0.0.0/8"), peer.url).status_code == status
        assert len(peer.requests) == 1
    assert [connection[0] for connection in names.connected] == ["127.0.0.1"]
    book("redirect", f"{status} to {target}", [])


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "no_proxy"])
def test_a_planted_environment(book: Book, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A proxy in the environment is not connected to, and the forbidden address is refused."""
    with Peer(answering(200)) as planted:
        monkeypatch.setenv(name, "*" if name == "no_proxy" else planted.url)
        sender = WebhookSender(Settings(_env_file=None))
        with pytest.raises(DeliveryError) as raised:
            sender.send(Delivery(id="m", type="t", url="http://169.254.169.254/", body="{}", job_id="j"), at=1)
        sender.close()
        assert raised.value.kind == "address_refused"
        assert planted.conversations == []
    book("planted environment", name, [])


@pytest.mark.parametrize("answers", [["64:ff9b::8.8.8.8"], ["64:ff9b::8.8.8.8", "1.1.1.1"]])
def test_a_public_address_by_nat64_is_called(names: Names, guarded: Open, answers: list[str]) -> None:
    """A NAT64 address that embeds a public one is connected to."""
    names.lead("good.example", answers)
    with pytest.raises(requests.ConnectionError):
        post(guarded(), "https://good.example/")
    assert [connection[0] for connection in names.connected] == ["64:ff9b::808:808"]


def test_the_recording_sees_connections(names: Names, guarded: Open) -> None:
    """The recording of connections, which these tests rely on, sees an allowed connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(requests.RequestException):
        post(guarded("127.0.0.0/8"), f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert [connection[0] for connection in names.connected] == ["127.0.0.1"]
