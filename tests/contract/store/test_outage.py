"""What counts as an outage of Redis, told by a real server."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.exceptions import DataError, NoScriptError, ResponseError

from worker.cli.local.embedded import EmbeddedValkey
from worker.store.connection import Store, is_unavailable
from worker.store.keys import Lane
from worker.store.lanes import Lanes, Tick
from worker.store.scripts import Scripts


class Restarting(redis.Redis):
    """A client whose server is started again whenever it has just loaded a script: the script is gone."""

    def script_load(self, script: Any) -> Any:
        """Load it for nothing."""
        loaded = super().script_load(script)
        self.script_flush()
        return loaded


def test_a_restart_between_loading_a_script_and_running_it(client: redis.Redis, valkey: EmbeddedValkey) -> None:
    """It is tried again like any outage, also where a generation was just paid for."""
    del client  # empty
    with Restarting.from_url(valkey.url, decode_responses=True) as restarting:
        restarting.script_flush()
        scripts = Scripts(restarting, max_countdown_s=1)
        with pytest.raises(NoScriptError) as raised:
            scripts.ensure_tick(keys=["photogpt:lane:{jobs}", "photogpt:lane:{jobs}:loop"], args=[1])
    assert is_unavailable(raised.value)


def test_what_cannot_be_sent_is_no_outage(store: Store) -> None:
    """It would be tried again for ever."""
    lanes: Lanes = store.lanes
    with pytest.raises(DataError) as raised:
        lanes.claim(Lane.JOBS, {"a": 1}, limit=1, lease=1, prefix="", fields=["id"])  # type: ignore[arg-type]
    assert not is_unavailable(raised.value)


def test_a_key_of_another_type_is_no_outage(client: redis.Redis) -> None:
    """Nor would waiting mend this."""
    client.set("photogpt:a", "text")
    with pytest.raises(ResponseError) as raised:
        client.hget("photogpt:a", "field")
    assert not is_unavailable(raised.value)
    client.delete("photogpt:a")


def test_proving_that_it_takes_writes(client: redis.Redis, store: Store, ticks: list[Tick]) -> None:
    """A replica answers what only reads; the proof is refused, and leaves nothing that stays."""
    client.replicaof("127.0.0.1", "1")
    try:
        store.lanes.ensure_ticks()
        assert ticks == []
        with pytest.raises(ResponseError) as raised:
            store.prove_writes()
        assert is_unavailable(raised.value)
    finally:
        client.replicaof("no", "one")
    store.prove_writes()
    assert 0 < int(client.ttl("photogpt:probe")) <= 60
