"""Redis is gone, emptied, frozen, read-only, full or slow: the worker stays, and jobs succeed afterwards."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import redis

from config.settings import load_settings
from tests.integration.redis_faults.conftest import Line, full, lasts, read_only, without_replicas
from tests.running import keys
from tests.waiting import wait_until
from worker.cli.status.report import Report, read_report
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import open_store


def assert_few_lines(line: Line) -> None:
    """The worker logged no traceback, and at most 20 lines of each event."""
    text = line.log()
    assert "Traceback" not in text, text
    lines = Counter(entry.split()[3] for entry in text.splitlines() if " WARNING " in entry or " ERROR " in entry)
    assert all(count <= 20 for count in lines.values()), lines


def wait_until_marked(line: Line) -> None:
    """Wait until the worker has marked itself once more, after everything that happened before."""
    client: Any = line.client
    since = client.time()[0] + 1
    wait_until(lambda: client.zrange(keys.workers, 0, -1, withscores=True)[0][1] > since, "the worker marks itself")


def report_of(line: Line) -> Report:
    """Return what `status` reports."""
    settings = load_settings(redis_url=line.server.url)
    store = open_store(settings, leave_to_lane_monitor)
    try:
        return read_report(store, settings)
    finally:
        store.close()


def assert_one_refusal(line: Line, advice: str) -> None:
    """`status` has one sentence for a Redis that refuses writes, which is the broker, too; it says what to do."""
    report = report_of(line)
    (problem,) = [each for each in report["problems"] if "lost" not in each]
    assert problem.startswith("Redis answers, but cannot be used: ")
    assert advice in problem
    assert report["messages"]["waiting"] is not None


@pytest.mark.parametrize("seconds", [2, pytest.param(25, marks=pytest.mark.long)])
def test_gone(line: Line, seconds: float) -> None:
    """Jobs survive a Redis that is killed and comes back."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    line.server.kill()
    lasts(seconds)
    line.server.start()

    line.assert_succeeded(ids)
    wait_until_marked(line)
    assert "redis.data_lost" not in line.log()
    assert_few_lines(line)


def test_emptied(line: Line) -> None:
    """A worker whose Redis restarts without its data says so at ERROR, with what was in flight, and takes new jobs."""
    line.enqueue(3, duration_s=3600)
    line.wait_until_scheduled(3)
    wait_until_marked(line)

    line.server.kill()
    shutil.rmtree(line.server.directory / "appendonlydir")
    line.server.start()

    wait_until(lambda: "redis.data_lost" in line.log(), "the worker says that the data is gone", within=30)
    entry = next(row for row in line.log().splitlines() if "redis.data_lost" in row)
    assert " ERROR " in entry
    assert "generations in flight then: 3" in entry
    wait_until(lambda: line.client.exists(keys.account), "the account is registered again")
    assert [each for each in report_of(line)["problems"] if each.startswith("Redis has lost its data")]
    line.sandbox.control.reset()
    line.assert_succeeded(line.enqueue(1))
    assert line.log().count("redis.data_lost") == 1
    assert_few_lines(line)


def test_frozen(line: Line) -> None:
    """Jobs survive a Redis that accepts connections and answers nothing for eight seconds."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    line.server.freeze()
    lasts(8)
    line.server.thaw()

    line.assert_succeeded(ids)
    assert_few_lines(line)


@pytest.mark.parametrize(
    ("outage", "advice"), [(read_only, "write the primary into the URL"), (without_replicas, "repair the replicas")]
)
def test_read_only(line: Line, outage: Callable[[redis.Redis], AbstractContextManager[None]], advice: str) -> None:
    """Jobs survive a Redis that refuses writes, as a replica or without its replicas; `status` says what to do."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    with outage(line.client):
        with pytest.raises(redis.ResponseError):
            line.client.set("a", "b")
        assert_one_refusal(line, advice)
        lasts(5)

    line.assert_succeeded(ids)
    assert_few_lines(line)


def test_out_of_memory(line: Line) -> None:
    """Jobs survive a Redis that has no memory left and refuses writes; `status` says what to do."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    with full(line.client):
        with pytest.raises(redis.OutOfMemoryError):
            line.client.set("a", "b")
        assert_one_refusal(line, "raise its maxmemory")
        lasts(5)

    line.assert_succeeded(ids)
    assert_few_lines(line)


@pytest.mark.parametrize("outage", [read_only, without_replicas, full])
def test_refused_while_messages_are_fetched(
    line: Line, outage: Callable[[redis.Redis], AbstractContextManager[None]]
) -> None:
    """No message is lost when Redis refuses writes while workers take messages and call PhotoGPT."""
    ids = line.enqueue(20)

    with outage(line.client):
        lasts(3)

    line.assert_succeeded(ids)
    assert_few_lines(line)


def test_slow(line: Line) -> None:
    """Commands that take three seconds, less than every timeout, fail no job."""
    ids = line.enqueue(5, duration_s=1)
    line.wait_until_scheduled(5)

    line.client.client_pause(3000)

    line.assert_succeeded(ids)
    assert_few_lines(line)


def test_scripts_forgotten(line: Line) -> None:
    """After SCRIPT FLUSH the worker loads its scripts again."""
    ids = line.enqueue(5, duration_s=1)
    line.wait_until_scheduled(5)

    line.client.script_flush()

    line.assert_succeeded(ids)
    assert_few_lines(line)


def test_connections_killed(line: Line) -> None:
    """Jobs survive CLIENT KILL of every connection, five times."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    for _ in range(5):
        line.client.client_kill_filter(_type="normal", skipme=True)
        lasts(0.3)

    line.assert_succeeded(ids)
    assert_few_lines(line)
