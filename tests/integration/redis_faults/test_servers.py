"""Servers that the service cannot work with: `ping` and the start of a worker say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from kombu.exceptions import OperationalError
from redis import RedisError

from config.settings import load_settings
from tests.integration.redis_faults.servers import Server
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.cli.context import producer
from worker.cli.local.embedded import EmbeddedValkey
from worker.queue import checks
from worker.queue.checks import check_broker, check_store, unavailable
from worker.store.connection import ping
from worker.store.lanes import leave_to_lane_monitor
from worker.store.server import ServerFault
from worker.store.store import open_store
from worker.telemetry.error_text import error_text

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


@pytest.mark.parametrize("password", ["wrong", None])
def test_sentinels_that_refuse_the_login(start: Callable[..., Server], password: str | None) -> None:
    """A wrong or missing password of the Sentinels is refused with the setting's name, for Redis and for the broker."""
    server = start(sentinel="sentinel monitor known 127.0.0.1 1 1\n", requirepass="right")
    url = f"sentinel://127.0.0.1:{server.port}"
    settings = load_settings(redis_url=url, broker_url=url, sentinel_master="known", sentinel_password=password)
    advice = "the Sentinels refuse the login .*; correct PHOTOGPT_SENTINEL_PASSWORD"
    with closing(open_store(settings, leave_to_lane_monitor)) as store, pytest.raises(ServerFault, match=advice):
        check_store(store, settings, register=False)
    with producer(settings) as app, pytest.raises(ServerFault, match=advice):
        check_broker(app, settings)


def test_a_sentinel_in_an_error_is_its_address() -> None:
    """An error that names a Sentinel shows its host and port, and no options of redis-py's client."""
    settings = load_settings(redis_url="sentinel://127.0.0.1:1", sentinel_master="known")
    with pytest.raises(redis.RedisError) as failed:
        ping(settings, settings.store_url, timeout_s=1)
    assert error_text(failed.value) == "No master found for 'known' : 127.0.0.1:1 - network:ConnectionError"


def test_tls_to_a_server_without_it(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rediss://` to a port without TLS is refused with the right scheme, for Redis and for the broker."""
    monkeypatch.setattr(checks, "ANSWER_WITHIN_S", 0.3)  # such a server waits for the rest of a command
    url = valkey.url.replace("redis:", "rediss:")
    settings = load_settings(redis_url=url, broker_url=url)
    with closing(open_store(settings, leave_to_lane_monitor)) as store, pytest.raises(ServerFault, match="redis://"):
        check_store(store, settings, register=False)
    with producer(settings) as app, pytest.raises(ServerFault, match="it does not speak TLS; write redis://"):
        check_broker(app, settings)


def test_a_silent_server_is_asked_once(start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a Redis that answers nothing ends with its first question; redis-py repeats one for a minute."""
    monkeypatch.setattr(checks, "ANSWER_WITHIN_S", 0.3)
    server = start()
    settings = load_settings(redis_url=server.url)
    client = redis.Redis(port=server.port)
    before = client.info()["total_connections_received"]
    with closing(open_store(settings, leave_to_lane_monitor)) as store:
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            check_store(store, settings, register=False)
        with producer(settings) as app, pytest.raises(redis.TimeoutError):
            check_broker(app, settings)
        server.thaw()
    assert client.info()["total_connections_received"] - before == 2


@pytest.mark.parametrize(
    "url", ["redis://no.invalid/0", "sentinel://127.0.0.1:1;sentinel://no.invalid", "amqp://no.invalid"]
)
def test_an_unknown_host_is_an_outage(url: str) -> None:
    """A host that DNS does not know is no fault, since DNS may know it later; the sentence names host and variable."""
    sentence = unavailable(OSError("refused"), url, "PHOTOGPT_BROKER_URL")
    assert sentence.startswith("the host 'no.invalid' is unknown (")
    assert sentence.endswith("); correct PHOTOGPT_BROKER_URL, unless DNS gets to know it later")
    settings = load_settings(broker_url=url, sentinel_master="known")
    with producer(settings) as app, pytest.raises((RedisError, OperationalError, OSError)):
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
