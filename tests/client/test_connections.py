"""Connections of the package: TLS, socket files, logins, lists of Sentinels, and what is said of unusable ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from photogpt_client import Client, RedisRefused
from photogpt_client.connection import connect
from photogpt_client.testing.events import SECRET, signed_event
from photogpt_client.webhooks import Receiver, RedisMemory
from tests.client.conftest import LONELY
from tests.integration.redis_faults.servers import Server, certificates
from tests.parts import need_program
from worker.cli.local.processes import free_port

PAGE = Path(__file__).parents[2] / "ops" / "docs" / "producers.md"
PASSWORD = "p@ss/w#rd?:;%20é &="


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the authority's certificates."""
    return certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_server(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Debian's Redis, which accepts TLS only."""
    files = {f"tls_{name}": str(authority / file) for name, file in FILES.items()}
    directory = tmp_path_factory.mktemp("tls")
    running = Server(directory, binary=need_program("redis-server"), tls_port="yes", tls_auth_clients="no", **files)
    yield running
    running.stop()


FILES = {"cert_file": "server.pem", "key_file": "server.key", "ca_cert_file": "ca.pem"}


@pytest.fixture(scope="module")
def socket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that listens on a socket file, too."""
    directory = tmp_path_factory.mktemp("socket")
    running = Server(directory, unixsocket=str(directory / "redis.sock"))
    yield running
    running.stop()


def assert_usable(url: str) -> None:
    """Assert that a job can be sent and found."""
    with Client(url, namespace=LONELY, send_timeout_s=0.5) as client:
        job = client.image(modelID="nanobanana", prompt="Dawn")
        assert job.outcome()["state"] == "queued"


def assert_refused(url: str, message: str) -> None:
    """Assert that neither sending nor waiting goes on where waiting cannot help, and that the error says what to do."""
    with Client(url, namespace=LONELY, send_timeout_s=20) as client:
        with pytest.raises(RedisRefused, match=message):
            client.image(modelID="nanobanana", prompt="Dawn")
        with pytest.raises(RedisRefused, match=message):
            client.job("x").wait(timeout=20)


def test_tls_and_its_errors(tls_server: Server, authority: Path, tmp_path: Path) -> None:
    """The server's and the client's certificates are checked, and each fault names the option that mends it."""
    trusted = f"{tls_server.url}?ssl_ca_certs={authority / 'ca.pem'}"
    assert_usable(trusted)
    assert_refused(tls_server.url, "ssl_ca_certs")
    assert_refused(f"{tls_server.url}?ssl_ca_certs={certificates(tmp_path) / 'ca.pem'}", "ssl_ca_certs")
    with connect(trusted) as admin:
        admin.config_set("tls-auth-clients", "yes")
    assert_refused(trusted, "ssl_certfile")
    assert_usable(f"{trusted}&ssl_certfile={authority / 'server.pem'}&ssl_keyfile={authority / 'server.key'}")


def test_a_socket_file_and_a_login_with_every_character(socket_server: Server) -> None:
    """A socket file, and a user whose password has every special character, over both ways."""
    with redis.Redis.from_url(socket_server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "shop", "on", f">{PASSWORD}", "allcommands", "allkeys")
    login = f"shop:{quote(PASSWORD, safe='')}@"
    path = socket_server.directory / "redis.sock"
    for url in (
        f"unix://{path}?db=3",
        f"unix://{login}{path}",
        socket_server.url.replace("://", f"://{login}"),
    ):
        assert_usable(url)
    assert_refused(socket_server.url.replace("://", "://shop:wrong@"), "refuses the login")


def test_the_rights_of_a_memory_are_documented(socket_server: Server) -> None:
    """With the rights on the producers' page a receiver remembers webhooks, but not under another prefix."""
    (rights,) = re.findall(r"`(~shop-hooks:[^`]+)`", PAGE.read_text(encoding="utf-8"))
    with redis.Redis.from_url(socket_server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "hooks", "on", ">pw", "resetchannels", "-@all", *rights.split())
    url, event = socket_server.url.replace("://", "://hooks:pw@"), signed_event()
    allowed, other = (RedisMemory(url, prefix=prefix) for prefix in ("shop-hooks", "other"))
    receiver = Receiver([SECRET], memory=allowed)
    received = receiver.receive(event.body, event.headers)
    assert received is not None
    receiver.forget(received)
    with pytest.raises(RedisRefused):
        Receiver([SECRET], memory=other).receive(event.body, event.headers)
    for memory in (allowed, other):
        memory.close()


@pytest.mark.parametrize(
    ("url", "hosts", "database", "user", "password"),
    [
        ("sentinel://a:1;sentinel://b:2/3", [("a", 1), ("b", 2)], 3, None, None),
        ("sentinel://:p%40w@a; sentinel://b;", [("a", 26379), ("b", 26379)], 0, None, "p@w"),
        ("sentinel://a/2;sentinel://u:p@[::1]:5/2", [("a", 26379), ("::1", 5)], 2, "u", "p"),
    ],
)
def test_lists_of_sentinels(url: str, hosts: Any, database: int, user: str | None, password: str | None) -> None:
    """Database and credentials stand in any URL of the list, as in the service's setting, for both kinds of client."""
    for is_async in (False, True):
        pool = connect(url, sentinel_master="m", sentinel_password="s", is_async=is_async).connection_pool
        found = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        assert [(each["host"], each["port"]) for each in found] == hosts
        assert [each["password"] for each in found] == ["s"] * len(hosts)
        used = pool.connection_kwargs
        assert (used["db"], used["username"], used["password"]) == (database, user, password)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("valkey://h", "must start with redis://"),
        ("localhost:6379", "must start with redis://"),
        ("redis://:secret/word@h:6379/0", "write / in the password as %2F"),
        ("redis://:secret#word@h", "%23"),
        ("redis://h/jobs", "database must be a number"),
        ("redis:///0", "names no host"),
        ("redis://h:0/0", "port 0"),
        ("unix://", "names no socket"),
        ("redis://a;redis://b", "only sentinel:// URLs form a list"),
        ("sentinel://a;redis://b", "must be sentinel://host:port"),
        ("sentinel://a/1;sentinel://b/2", "different databases"),
        ("redis://h?socket_timeout=1", "socket_timeout"),
        ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs"),
        ("rediss://h?ssl_ca_certs=/no/such/file", r"ssl_ca_certs=/no/such/file cannot be read: No such file"),
        (f"rediss://h?ssl_ca_certs={__file__}", "ssl_ca_certs=.* cannot be read"),
    ],
)
def test_unusable_urls_are_refused_at_once(url: str, message: str) -> None:
    """A URL that cannot work is refused before anything is sent, by a sentence that quotes no password."""
    with pytest.raises(ValueError, match=message) as refused:
        Client(url, sentinel_master="m")
    assert "secret" not in str(refused.value)
    assert "word@" not in str(refused.value)


def test_sentinels_need_the_name_of_the_primary() -> None:
    """A list of Sentinels without the name of the primary is refused."""
    with pytest.raises(ValueError, match="sentinel_master"):
        Client(f"sentinel://127.0.0.1:{free_port()}")
