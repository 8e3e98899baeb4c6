"""The inbox while Redis fails: an entry that was not acknowledged is appended again, and is one job."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings, load_settings
from tests.conftest import image_request
from tests.integration.redis_faults.conftest import connect_once
from tests.integration.redis_faults.servers import Server
from tests.running import keys
from tests.waiting import wait_until
from worker.queue.inbox import InboxReader
from worker.store.inbox import Unacknowledged
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import Store, open_store
from worker.telemetry.outage import Outage

BURST = 400


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis server that keeps what it acknowledged."""
    running = Server(tmp_path / "server")
    yield running
    running.stop()


@pytest.fixture
def server_settings(server: Server) -> Settings:
    """The settings of a worker on it."""
    return load_settings(redis_url=server.url)


@pytest.fixture
def impatient(server_settings: Settings) -> Iterator[Store]:
    """A store that sends each command once and waits one second at most."""
    store = open_store(server_settings, leave_to_lane_monitor)
    store._client.set_retry(Retry(NoBackoff(), 0))
    store._client.connection_pool.connection_kwargs |= {"socket_timeout": 1}
    yield store
    store.close()


@pytest.fixture
def reader(server_settings: Settings) -> Iterator[InboxReader]:
    """A reader of the inbox whose thread does not run."""
    store = open_store(server_settings, leave_to_lane_monitor)
    services: Any = SimpleNamespace(store=store, settings=server_settings)
    yield InboxReader(services, Outage("redis.unavailable", "redis.recovered", message="", recovered=""))
    store.close()


def entry(job_id: str) -> str:
    """Return the JSON of an entry."""
    return json.dumps({"id": job_id, "kind": "image", "request": image_request()})


def stored(server: Server) -> set[str]:
    """Return the ids of all stored jobs."""
    with connect_once(server.url) as client:
        return {str(client.hget(key, "id")) for key in client.scan_iter(keys.job("*"), _type="hash", count=1000)}


def take_over_all(impatient: Store, reader: InboxReader) -> None:
    """Take over entries until none is left."""
    while impatient.inbox.length():
        reader.take_over_new()


def test_a_lost_answer(server: Server, impatient: Store, reader: InboxReader) -> None:
    """An entry whose acknowledgement is lost is appended again, and both are one job."""
    impatient.inbox.append(entry("first"))

    server.freeze()
    try:
        with pytest.raises(Unacknowledged):
            impatient.inbox.append(entry("second"))
    finally:
        server.thaw()
    wait_until(lambda: impatient.inbox.length() == 2, "Redis has read what it was sent")

    impatient.inbox.append(entry("second"))
    take_over_all(impatient, reader)
    assert stored(server) == {"first", "second"}


def test_killed_in_a_burst(server: Server, impatient: Store, reader: InboxReader) -> None:
    """When Redis is killed during a burst of entries, every job is stored once, and no other."""
    in_progress, refused = threading.Event(), []

    def submit(number: int) -> None:
        if number == BURST // 4:
            in_progress.set()
        while True:
            try:
                impatient.inbox.append(entry(f"job-{number}"))
            except redis.RedisError as error:
                refused.append(error)
            else:
                return

    with ThreadPoolExecutor(8) as pool:
        submitting = [pool.submit(submit, number) for number in range(BURST)]
        assert in_progress.wait(30)
        server.kill()
        server.start()
        for one in submitting:
            one.result(timeout=30)

    assert refused  # it was killed in the burst
    take_over_all(impatient, reader)
    assert stored(server) == {f"job-{number}" for number in range(BURST)}
