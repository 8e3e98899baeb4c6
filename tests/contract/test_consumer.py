"""Messages on a real broker: one that outlives its connection, and how those are crossed out that are done with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.transport import redis as transport

from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.queue.consumer import MAX_DONE, RetryingQoS


@pytest.fixture
def orphan(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A message in hand whose connection was closed for an outage, and the errors that Celery expects of it."""
    monkeypatch.setattr(transport.Channel, "QoS", RetryingQoS)
    with Connection(valkey.url) as connection:
        queue = connection.SimpleQueue("orphans")
        queue.put({"a": 1})
        message: Any = queue.get(timeout=5)
        errors = (*connection.connection_errors, *connection.channel_errors)
    message.channel.connection = message.channel._pool = None
    return message, errors


def test_acknowledging_it(orphan: Any) -> None:
    """It is told, and the worker goes on: anything else that is raised there ends it."""
    message, errors = orphan
    message.ack_log_error(logging.getLogger("a test"), errors)


def test_handing_it_back(orphan: Any) -> None:
    """The same for a message that the ledger could not take."""
    message, errors = orphan
    message.reject_log_error(logging.getLogger("a test"), errors, requeue=True)


# -- crossing out ------------------------------------------------------------------------------------------------------


class Line:
    """A queue with messages in hand."""

    def __init__(self, connection: Connection, client: Any) -> None:
        """Begin with none."""
        self.client = client
        self._queue = connection.SimpleQueue("crossed")

    def take(self, count: int) -> list[Any]:
        """Send some, and take them."""
        for number in range(count):
            self._queue.put({"number": number})
        return [self._queue.get(timeout=5) for _ in range(count)]

    @property
    def noted(self) -> tuple[int, int]:
        """How many messages Redis has noted as under way, in either of kombu's keys."""
        return self.client.hlen("unacked"), self.client.zcard("unacked_index")

    @property
    def left(self) -> int:
        """How many wait in the queue."""
        return int(self.client.llen("crossed"))


@pytest.fixture
def line(client: redis.Redis, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A queue on an empty broker."""
    monkeypatch.setattr(transport.Channel, "QoS", RetryingQoS)
    with Connection(valkey.url) as connection:
        yield Line(connection, client)


def gathering(message: Any, *, over: bool) -> Any:
    """Return who crosses out, with the time to gather being over, or not."""
    qos = message.channel.qos
    qos._cross_out_at = 0.0 if over else float("inf")
    return qos


def test_they_are_crossed_out_together(line: Line) -> None:
    """Not one by one as they are done with, but when the loop comes round and some time has passed."""
    messages = line.take(5)
    for message in messages[:3]:
        message.ack()
    gathering(messages[0], over=False).can_consume()
    assert line.noted == (5, 5)
    gathering(messages[0], over=True).can_consume()
    assert line.noted == (2, 2)


def test_many_do_not_wait(line: Line) -> None:
    """For the time to gather."""
    messages = line.take(MAX_DONE)
    for message in messages[1:]:
        message.ack()
    gathering(messages[0], over=False).can_consume()
    assert line.noted == (MAX_DONE, MAX_DONE)
    messages[0].ack()
    gathering(messages[0], over=False).can_consume()
    assert line.noted == (0, 0)


def test_the_time_comes_by_itself(line: Line) -> None:
    """A while after the last one, with nothing else to do."""
    (message,) = line.take(1)
    message.ack()
    wait_until(lambda: message.channel.qos.can_consume() and line.noted == (0, 0), "it is crossed out")


def test_the_end_crosses_out_before_it_hands_back(line: Line) -> None:
    """What is done with does not come again; the rest does."""
    messages = line.take(3)
    messages[1].ack()
    gathering(messages[0], over=False).restore_unacked_once()
    assert line.noted == (0, 0)
    assert line.left == 2


def test_handing_back_one(line: Line) -> None:
    """It waits in the queue again, and is under way no more."""
    first, second = line.take(2)
    first.ack()
    second.requeue()
    gathering(first, over=True).can_consume()
    assert (line.left, line.noted) == (1, (0, 0))


def test_a_broker_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be crossed out is kept, and crossed out when Redis takes writes again."""
    monkeypatch.setattr(transport.Channel, "QoS", RetryingQoS)
    server = EmbeddedValkey(tmp_path)
    try:
        with redis.Redis.from_url(server.url) as client, Connection(server.url) as connection:
            line = Line(connection, client)
            messages = line.take(3)
            for message in messages[:2]:
                message.ack()
            client.execute_command("REPLICAOF", "127.0.0.1", "1")  # nobody is there: it takes no writes
            gathering(messages[0], over=True).can_consume()
            client.execute_command("REPLICAOF", "NO", "ONE")
            assert line.noted == (3, 3)
            gathering(messages[0], over=True).can_consume()
            assert line.noted == (1, 1)
            messages[2].ack()
    finally:
        server.stop()
