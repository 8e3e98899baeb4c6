"""Our client while Redis fails: a job that was not acknowledged is submitted again, and is one job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import load_settings
from tests.conftest import image_request
from tests.integration.redis_faults.conftest import connect_once
from tests.integration.redis_faults.servers import Server
from tests.running import keys
from tests.waiting import wait_until
from worker.client import Client, Unacknowledged

BURST = 400


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis server that keeps what it acknowledged."""
    running = Server(tmp_path / "server")
    yield running
    running.stop()


@pytest.fixture
def ours(server: Server) -> Iterator[Client]:
    """A client that sends each command once and waits one second at most."""
    with Client(settings=load_settings(redis_url=server.url)) as client:
        client.store._client.set_retry(Retry(NoBackoff(), 0))
        client.store._client.connection_pool.connection_kwargs |= {"socket_timeout": 1}
        yield client


def stored(server: Server) -> set[str]:
    """Return the ids of all stored jobs."""
    with connect_once(server.url) as client:
        return {
            str(client.hget(key, "id")) for key in client.scan_iter(f"{keys.job_prefix}*", _type="hash", count=1000)
        }


def test_a_lost_answer(server: Server, ours: Client) -> None:
    """A job whose acknowledgement is lost is submitted again with the id of the error, and is one job."""
    ours.submit("image", image_request())

    server.freeze()
    try:
        with pytest.raises(Unacknowledged, match=r"submit it again with job_id=") as raised:
            ours.submit("image", image_request())
    finally:
        server.thaw()
    wait_until(lambda: raised.value.job_id in stored(server), "Redis has read what it was sent")

    assert ours.submit("image", image_request(), job_id=raised.value.job_id).id == raised.value.job_id
    assert len(stored(server)) == 2


def test_killed_in_a_burst(server: Server, ours: Client) -> None:
    """When Redis is killed during a burst of submissions, every job is stored once, and no other."""
    in_progress, refused = threading.Event(), []

    def submit(number: int) -> str:
        if number == BURST // 4:
            in_progress.set()
        job_id = None
        while True:
            try:
                return ours.submit("image", image_request() | {"prompt": f"picture {number}"}, job_id=job_id).id
            except Unacknowledged as error:
                job_id = error.job_id
                refused.append(job_id)
            except redis.RedisError:  # before it was asked
                continue

    with ThreadPoolExecutor(8) as pool:
        submitting = [pool.submit(submit, number) for number in range(BURST)]
        assert in_progress.wait(30)
        server.kill()
        server.start()
        receipts = [one.result(timeout=30) for one in submitting]

    assert refused  # it was killed in the burst
    assert len(set(receipts)) == BURST
    assert stored(server) == set(receipts)
