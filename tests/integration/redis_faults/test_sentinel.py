"""Primary, replica and Sentinels: when the primary dies, workers go on with the replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from config.celery import celery_options
from config.environment import SettingsError
from config.settings import Settings, load_settings
from photogpt_client import Client
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
class Monitored:
    """A primary, a replica and Sentinels, with passwords."""

    primary: Server
    replica: Server
    sentinels: list[Server]

    @property
    def url(self) -> str:
        """The URL for the settings."""
        return ";".join(f"sentinel://:server-secret@127.0.0.1:{server.port}/0" for server in self.sentinels)

    def knows_all(self, sentinel: Server) -> bool:
        """Return whether a Sentinel has found the replica and the other Sentinels."""
        with redis.Redis(port=sentinel.port, password="sentinel-secret", decode_responses=True) as client:
            seen = client.sentinel_master("mymaster")
        return (seen["num-slaves"], seen["num-other-sentinels"]) == (1, len(self.sentinels) - 1)


@pytest.fixture
def start_monitored(tmp_path: Path) -> Iterator[Callable[[int], Monitored]]:
    """Start a primary, a replica and some Sentinels."""
    started: list[Server] = []

    def start(sentinels: int) -> Monitored:
        primary = Server(tmp_path / "primary", **PASSWORDS)
        started.append(primary)
        replica = Server(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}", **PASSWORDS)
        started.append(replica)
        others = []
        for number in range(sentinels):
            config = SENTINEL.format(port=primary.port, quorum=sentinels // 2 + 1)
            others.append(Server(tmp_path / f"sentinel-{number}", sentinel=config))
            started.append(others[-1])
        return Monitored(primary, replica, others)

    yield start
    for server in reversed(started):
        server.stop()


@pytest.mark.parametrize("sentinels", [1, 3])
def test_failover(
    start_monitored: Callable[[int], Monitored], open_line: Callable[..., Line], sandbox: SandboxProcess, sentinels: int
) -> None:
    """After a failover every job that the replica had stored and later one succeeds, also of the package."""
    # Of three Sentinels the first of the URL dies with the primary.
    monitored = start_monitored(sentinels)
    primary, replica = monitored.primary, monitored.replica
    settings = Settings(
        _env_file=None, redis_url=monitored.url, sentinel_master="mymaster", sentinel_password="sentinel-secret"
    )
    client = connect(settings)
    wait_until(lambda: client.info("replication")["connected_slaves"] == 1, "the replica is there")
    wait_until(lambda: client.wait(1, 100) == 1, "the replica keeps up")
    for sentinel in monitored.sentinels:
        wait_until(lambda sentinel=sentinel: monitored.knows_all(sentinel), "they know each other", within=30)  # type: ignore[misc]
    producer = Celery(set_as_current=False)
    producer.conf.update(celery_options(settings) | {"result_backend": None})
    line = open_line(
        primary, url=monitored.url, SENTINEL_MASTER="mymaster", SENTINEL_PASSWORD="sentinel-secret", client=client,
        producer=producer,
    )  # fmt: skip
    ids = line.enqueue(10, duration_s=3)
    line.wait_until_scheduled(10)
    package = Client(monitored.url, sentinel_master="mymaster", sentinel_password="sentinel-secret")
    assert package.job(ids[0]).outcome()["id"] == ids[0]
    waiting = ThreadPoolExecutor(1).submit(lambda: list(package.job(ids[0]).events(timeout=90)))
    # WAIT counts the writes of its own connection only: this one comes after all of the worker's.
    barrier: Any = client.pipeline(transaction=False)
    assert barrier.set("barrier", "1").wait(1, 5000).execute() == [True, 1]

    if sentinels > 1:
        monitored.sentinels[0].kill()
    primary.kill()
    wait_until(lambda: _answers(client), "Sentinel names the replica", within=30)
    assert _role(replica) == "master"
    ids += line.enqueue(5)
    sent = package.image(modelID="nanobanana", prompt="Dawn", id="entry", extra={"sandbox": {"duration_s": 0.5}})

    line.assert_succeeded([*ids, "entry"])
    assert sent.wait(timeout=30)["state"] == package.job(ids[0]).wait(timeout=30)["state"] == "succeeded"
    sequences = [event.sequence for event in waiting.result(30)]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == 4
    package.close()
    assert "Traceback" not in line.log(), line.log()
    assert "redis.data_lost" not in line.log()
    assert "redis.client" not in line.log()  # a Sentinel is shown as host:port
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
    ("given", "expected"),
    [
        ("sentinel://a:1;sentinel://b:2/3", "sentinel://a:1/3;sentinel://b:2/3"),
        ("sentinel://:pw@a;sentinel://b", "sentinel://:pw@a:26379/0;sentinel://:pw@b:26379/0"),
    ],
)
def test_a_list_of_sentinels(given: str, expected: str) -> None:
    """The database and the password may be given once, in any URL of the list."""
    assert Settings(_env_file=None, redis_url=given, sentinel_master="m").store_url == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"redis_url": "sentinel://a"}, "PHOTOGPT_SENTINEL_MASTER is missing"),
        ({"redis_url": "sentinel://a/1;sentinel://b/2", "sentinel_master": "m"}, "different databases"),
        ({"redis_url": "sentinel://a;redis://b", "sentinel_master": "m"}, "must be sentinel://host:port"),
        ({"redis_url": "redis://a", "redis_ca_file": "/etc/ssl/certs/ca-certificates.crt"}, "no URL begins with"),
    ],
)
def test_unusable_settings_are_refused(variables: dict[str, str], message: str) -> None:
    """Settings of Sentinel that cannot work are refused at the start, not by a failed connection later."""
    with pytest.raises(SettingsError, match=message):
        load_settings(**variables)
