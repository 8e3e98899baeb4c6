"""Servers that the service cannot work with: `ping` and the start of a worker say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import load_settings
from tests.integration.redis_faults.servers import Server
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.cli.context import producer
from worker.cli.local.embedded import EmbeddedValkey
from worker.queue.checks import check_broker, check_store
from worker.store.lanes import leave_to_lane_monitor
from worker.store.server import ServerFault
from worker.store.store import open_store

SERVERS: dict[str, tuple[dict[str, str], str]] = {
    "cluster": ({"cluster_enabled": "yes"}, "it is a Redis Cluster"),
    "without COPY": ({"rename_command": "COPY ''"}, "unknown command 'COPY'.*Redis 6.2 or newer"),
    "evicting": ({"maxmemory_policy": "allkeys-lru"}, "set it to noeviction"),
    "Sentinel": ({"sentinel": "sentinel monitor a 127.0.0.1 1 1\n"}, "it is a Sentinel; write sentinel://"),
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server that ends with the test."""
    servers: list[Server] = []

    def make(**options: str) -> Server:
        servers.append(Server(tmp_path / "server", **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.mark.parametrize(("options", "advice"), SERVERS.values(), ids=SERVERS)
def test_a_server_is_refused(start: Callable[..., Server], options: dict[str, str], advice: str) -> None:
    """Redis is checked by what it can do; a fault has a sentence that says what to do."""
    settings = load_settings(redis_url=start(**options).url)
    store = open_store(settings, leave_to_lane_monitor)
    with pytest.raises(ServerFault, match=advice):
        check_store(store, settings, register=False)
    store.close()


def test_a_redis_that_is_no_sentinel(valkey: EmbeddedValkey) -> None:
    """A plain Redis behind sentinel:// is refused with the right scheme."""
    settings = load_settings(redis_url=valkey.url.replace("redis://", "sentinel://"), sentinel_master="mymaster")
    store = open_store(settings, leave_to_lane_monitor)
    with pytest.raises(ServerFault, match="it is no Sentinel; write redis://"):
        check_store(store, settings, register=False)
    store.close()


def test_a_login_that_is_refused(start: Callable[..., Server]) -> None:
    """A missing or a wrong password is refused with the advice to correct it, and is not shown."""
    server = start(requirepass="right")
    for url in (server.url, server.url.replace("//", "//:wrong-one@")):
        settings = load_settings(redis_url=url)
        store = open_store(settings, leave_to_lane_monitor, retries=0)
        with pytest.raises(ServerFault, match="correct the user and the password") as refused:
            check_store(store, settings, register=False)
        assert "wrong-one" not in str(refused.value)
        store.close()


def test_a_primary_that_no_sentinel_knows(start: Callable[..., Server], valkey: EmbeddedValkey) -> None:
    """A wrong name of the primary is refused with the names that the Sentinels know, for Redis and for the broker."""
    server = start(sentinel=f"sentinel monitor right 127.0.0.1 {valkey.url.partition('0.1:')[2].partition('/')[0]} 1\n")
    url = f"sentinel://127.0.0.1:{server.port}"
    settings = load_settings(redis_url=url, broker_url=url, sentinel_master="wrong")
    store = open_store(settings, leave_to_lane_monitor, retries=0)
    with pytest.raises(ServerFault, match="know right; correct PHOTOGPT_SENTINEL_MASTER"):
        check_store(store, settings, register=False)
    store.close()
    with producer(settings) as app, pytest.raises(ServerFault, match="know right; correct PHOTOGPT_SENTINEL_MASTER"):
        check_broker(app, settings)


def test_a_worker_without_its_database(valkey: EmbeddedValkey, worker_env: dict[str, str], tmp_path: Path) -> None:
    """A worker ends at its start if Redis, or the broker, has no such database, and shows no password."""
    missing = valkey.url.replace("//", "//:pass@").replace("/0", "/99")
    running = WorkerProcess(worker_env | {"PHOTOGPT_BROKER_URL": missing}, tmp_path / "worker.log")
    wait_until(lambda: running.child.exit_code is not None, "the worker ends", within=40)
    running.stop()
    assert running.child.exit_code == 1
    assert "the broker at redis://:…@" in running.text()
    assert "it has no such database" in running.text()
    assert "Traceback" not in running.text()
    assert ":pass@" not in running.text()
