"""Redis is gone, frozen, read-only, full or slow: the worker stays, and every job succeeds afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import redis

from tests.integration.redis_faults.conftest import Line, full, lasts, read_only, without_replicas


def assert_few_lines(line: Line) -> None:
    """The worker logged no traceback, and at most 20 lines of each event."""
    text = line.log()
    assert "Traceback" not in text, text
    lines = Counter(entry.split()[3] for entry in text.splitlines() if " WARNING " in entry or " ERROR " in entry)
    assert all(count <= 20 for count in lines.values()), lines


@pytest.mark.parametrize("seconds", [2, pytest.param(25, marks=pytest.mark.long)])
def test_gone(line: Line, seconds: float) -> None:
    """Jobs survive a Redis that is killed and comes back."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    line.server.kill()
    lasts(seconds)
    line.server.start()

    line.assert_succeeded(ids)
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


@pytest.mark.parametrize("outage", [read_only, without_replicas])
def test_read_only(line: Line, outage: Callable[[redis.Redis], AbstractContextManager[None]]) -> None:
    """Jobs survive a Redis that refuses writes, as a replica or without its replicas."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    with outage(line.client):
        with pytest.raises(redis.ResponseError):
            line.client.set("a", "b")
        lasts(5)

    line.assert_succeeded(ids)
    assert_few_lines(line)


def test_out_of_memory(line: Line) -> None:
    """Jobs survive a Redis that has no memory left and refuses writes."""
    ids = line.enqueue(5, duration_s=2)
    line.wait_until_scheduled(5)

    with full(line.client):
        with pytest.raises(redis.OutOfMemoryError):
            line.client.set("a", "b")
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
