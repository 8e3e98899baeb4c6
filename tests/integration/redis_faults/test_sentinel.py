"""Primary, replica and Sentinel: when the primary dies, the line goes on with the replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from config.celery import celery_options
from config.settings import Settings, SettingsError, load_settings
from tests.integration.redis_faults.conftest import Line
from tests.integration.redis_faults.servers import Server
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess
from worker.store.connection import connect

SENTINEL = """
sentinel monitor mymaster 127.0.0.1 {port} {quorum}
sentinel auth-pass mymaster server-secret
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
requirepass sentinel-secret
sentinel sentinel-pass sentinel-secret
"""
PASSWORDS = {"requirepass": "server-secret", "masterauth": "server-secret"}


@dataclass
class Watched:
    """Primary, replica and Sentinels, with passwords."""

    primary: Server
    replica: Server
    sentinels: list[Server]

    @property
    def url(self) -> str:
        """How they are named in the settings."""
        return ";".join(f"sentinel://:server-secret@127.0.0.1:{server.port}/0" for server in self.sentinels)

    def knows_all(self, sentinel: Server) -> bool:
        """Whether a Sentinel has found the replica and the other Sentinels."""
        with redis.Redis(port=sentinel.port, password="sentinel-secret", decode_responses=True) as client:
            seen = client.sentinel_master("mymaster")
        return (seen["num-slaves"], seen["num-other-sentinels"]) == (1, len(self.sentinels) - 1)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[[int], Watched]]:
    """Start a primary, a replica and some Sentinels."""
    started: list[Server] = []

    def start(sentinels: int) -> Watched:
        primary = Server(tmp_path / "primary", **PASSWORDS)
        started.append(primary)
        replica = Server(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}", **PASSWORDS)
        started.append(replica)
        watchers = []
        for number in range(sentinels):
            config = SENTINEL.format(port=primary.port, quorum=sentinels // 2 + 1)
            watchers.append(Server(tmp_path / f"sentinel-{number}", sentinel=config))
            started.append(watchers[-1])
        return Watched(primary, replica, watchers)

    yield start
    for server in reversed(started):
        server.stop()


@pytest.mark.parametrize("sentinels", [1, 3])
def test_failover(
    watch: Callable[[int], Watched], open_line: Callable[..., Line], sandbox: SandboxProcess, sentinels: int
) -> None:
    """Every job that the replica had taken as well ends; jobs that come afterwards too; the worker is the same.

    Of three Sentinels the one that is named first dies with the primary.
    """
    watched = watch(sentinels)
    primary, replica = watched.primary, watched.replica
    settings = Settings(
        _env_file=None, redis_url=watched.url, sentinel_master="mymaster", sentinel_password="sentinel-secret"
    )
    client = connect(settings)
    wait_until(lambda: client.info("replication")["connected_slaves"] == 1, "the replica is there")
    wait_until(lambda: client.wait(1, 100) == 1, "the replica keeps up")
    for sentinel in watched.sentinels:
        wait_until(lambda sentinel=sentinel: watched.knows_all(sentinel), "they know each other", within=30)  # type: ignore[misc]
    producer = Celery(set_as_current=False)
    producer.conf.update(celery_options(settings) | {"result_backend": None})
    line = open_line(
        primary, url=watched.url, SENTINEL_MASTER="mymaster", SENTINEL_PASSWORD="sentinel-secret", client=client,
        producer=producer,
    )  # fmt: skip
    ids = line.enqueue(10, duration_s=3)
    line.parked(10)
    assert client.wait(1, 2000) == 1

    if sentinels > 1:
        watched.sentinels[0].kill()
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
    assert Settings(_env_file=None, redis_url=given, sentinel_master="m").store_url == understood


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
