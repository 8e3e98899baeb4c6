"""Which errors of a real Redis count as an outage."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.exceptions import DataError, NoScriptError, ResponseError

from config.settings import Settings
from tests.running import keys
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.lane import Lane
from worker.store.connection import connect, is_unavailable
from worker.store.keys import ID
from worker.store.lanes import Lanes, Tick
from worker.store.scripts import Scripts
from worker.store.store import Store


class Restarting(redis.Redis):
    """A client whose server is started again whenever it has just loaded a script: the script is gone."""

    def script_load(self, script: Any) -> Any:
        """Load it for nothing."""
        loaded = super().script_load(script)
        self.script_flush()
        return loaded


def test_a_restart_after_loading_a_script_is_an_outage(client: redis.Redis, valkey: EmbeddedValkey) -> None:
    """A server that restarts between the loading and the running of a script counts as unavailable."""
    del client  # empty
    with Restarting.from_url(valkey.url, decode_responses=True) as restarting:
        restarting.script_flush()
        scripts = Scripts(restarting, keys, max_countdown_s=1)
        with pytest.raises(NoScriptError) as raised:
            scripts.take_rate_token(rate_bucket=keys.rate, rate=1)
    assert is_unavailable(raised.value)


def test_every_thread_of_a_worker_can_wait_for_redis(client: redis.Redis, store_settings: Settings) -> None:
    """While Redis answers nothing for a moment, a command of each thread of a worker waits, and none fails."""
    settings = store_settings.model_copy(update={"concurrency": 8, "call_concurrency": 4})
    every_thread = settings.concurrency + len(Lane) * settings.call_concurrency
    begin = threading.Barrier(every_thread + 1)

    def get(_: int) -> Any:
        begin.wait()
        return connected.get("photogpt:a")

    with connect(settings) as connected, ThreadPoolExecutor(every_thread) as pool:
        answers = pool.map(get, range(every_thread))
        client.client_pause(300)
        begin.wait()
        assert list(answers) == [None] * every_thread


def test_an_invalid_value_is_no_outage(store: Store) -> None:
    """A value that cannot be sent to Redis does not count as an outage."""
    lanes: Lanes = store.lanes
    with pytest.raises(DataError) as raised:
        lanes.claim(Lane.JOBS, {"a": 1}, limit=1, lease_s=1, pattern=ID, fields=["id"])  # type: ignore[arg-type]
    assert not is_unavailable(raised.value)


def test_a_wrong_type_is_no_outage(client: redis.Redis) -> None:
    """A key of another type does not count as an outage."""
    client.set("photogpt:a", "text")
    with pytest.raises(ResponseError) as raised:
        client.hget("photogpt:a", "field")
    assert not is_unavailable(raised.value)
    client.delete("photogpt:a")


def test_refused_writes_are_an_outage(client: redis.Redis, store: Store, ticks: list[Tick]) -> None:
    """A replica that answers reads fails the check of writes, which leaves no permanent key."""
    client.replicaof("127.0.0.1", "1")
    try:
        store.lanes.ensure_ticks()
        assert ticks == []
        with pytest.raises(ResponseError) as raised:
            store.check_writes()
        assert is_unavailable(raised.value)
    finally:
        client.replicaof("no", "one")
    store.check_writes()
    assert 0 < int(client.ttl("photogpt:probe")) <= 60
