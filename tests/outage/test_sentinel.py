"""Primary, replica and Sentinel: when the primary dies, the line goes on with the replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from config.celery import celery_options
from config.settings import Settings, SettingsError, load_settings
from tests.outage.conftest import Line
from tests.outage.servers import Server
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess
from worker.store.connection import connect

SENTINEL = """
sentinel monitor mymaster 127.0.0.1 {port} 1
sentinel auth-pass mymaster server-secret
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
requirepass sentinel-secret
"""
PASSWORDS = {"requirepass": "server-secret", "masterauth": "server-secret"}


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[Server, Server, Server]]:
    """Primary, replica and Sentinel, with passwords."""
    primary = Server(tmp_path / "primary", **PASSWORDS)
    replica = Server(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}", **PASSWORDS)
    sentinel = Server(tmp_path / "sentinel", sentinel=SENTINEL.format(port=primary.port))
    yield primary, replica, sentinel
    for server in (sentinel, replica, primary):
        server.stop()


def test_failover(
    three: tuple[Server, Server, Server], open_line: Callable[..., Line], sandbox: SandboxProcess
) -> None:
    """Every job that the replica had taken as well ends; jobs that come afterwards too; the worker is the same."""
    primary, replica, sentinel = three
    url = f"sentinel://:server-secret@127.0.0.1:{sentinel.port}/0"
    settings = Settings(_env_file=None, redis_url=url, sentinel_master="mymaster", sentinel_password="sentinel-secret")
    client = connect(settings)
    wait_until(lambda: client.info("replication")["connected_slaves"] == 1, "the replica is there")
    wait_until(lambda: client.wait(1, 100) == 1, "the replica keeps up")
    producer = Celery(set_as_current=False)
    producer.conf.update(celery_options(settings) | {"result_backend": None})
    line = open_line(
        primary, url=url, SENTINEL_MASTER="mymaster", SENTINEL_PASSWORD="sentinel-secret", client=client,
        producer=producer,
    )  # fmt: skip
    ids = line.enqueue(10, duration_s=3)
    line.parked(10)
    assert client.wait(1, 2000) == 1

    primary.kill()
    wait_until(lambda: _answers(client), "Sentinel names the replica", within=30)
    assert _role(replica) == "master"
    ids += line.enqueue(5)

    line.fine(ids)
    assert "Traceback" not in line.log(), line.log()
    line.worker.stop()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _role(server: Server) -> Any:
    with redis.Redis(port=server.port, password="server-secret", decode_responses=True) as client:
        return client.info("replication")["role"]


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("sentinel://a:1;sentinel://b:2/3", "sentinel://a:1/3;sentinel://b:2/3"),
        ("sentinel://:pw@a;sentinel://b", "sentinel://:pw@a:26379/0;sentinel://:pw@b:26379/0"),
    ],
)
def test_a_list_of_sentinels(given: str, understood: str) -> None:
    """The database and the password may stand once, anywhere."""
    assert Settings(_env_file=None, redis_url=given, sentinel_master="m").ledger_url == understood


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"redis_url": "sentinel://a"}, "PHOTOGPT_SENTINEL_MASTER is missing"),
        ({"redis_url": "sentinel://a/1;sentinel://b/2", "sentinel_master": "m"}, "different databases"),
        ({"redis_url": "sentinel://a;redis://b", "sentinel_master": "m"}, "must be sentinel://host:port"),
        ({"redis_url": "redis://a", "redis_ca_file": "/etc/ssl/certs/ca-certificates.crt"}, "no URL begins with"),
    ],
)
def test_what_cannot_be_used_is_said(variables: dict[str, str], said: str) -> None:
    """At the start, and not as a failed connection later."""
    with pytest.raises(SettingsError, match=said):
        load_settings(**variables)
