"""The worker's transport on a real broker: batches of acknowledgements, and messages that outlive their connection."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu.transport import redis as kombu_redis

from worker.cli.local.embedded import EmbeddedValkey
from worker.queue.transport import (
    BrokerConnection,
    RedisTransport,
    RetryingQoS,
    SentinelTransport,
)


@pytest.fixture
def orphan(valkey: EmbeddedValkey) -> Any:
    """A message in hand whose connection was closed by an outage, and the errors that Celery expects of it."""
    with BrokerConnection(valkey.url) as connection:
        queue = connection.SimpleQueue("orphans")
        queue.put({"a": 1})
        message: Any = queue.get(timeout=5)
        errors = (*connection.connection_errors, *connection.channel_errors)
    message.channel.connection = message.channel._pool = None
    return message, errors


def test_acknowledging_after_the_connection_is_lost(orphan: Any) -> None:
    """Acknowledging a message of a closed connection raises nothing but what Celery expects: anything else ends it."""
    message, errors = orphan
    message.ack_log_error(logging.getLogger("a test"), errors)


def test_requeueing_after_the_connection_is_lost(orphan: Any) -> None:
    """Requeueing a message of a closed connection raises nothing but what Celery expects."""
    message, errors = orphan
    message.reject_log_error(logging.getLogger("a test"), errors, requeue=True)


# -- transports --------------------------------------------------------------------------------------------------------

URLS = {
    "redis://localhost": RedisTransport,
    "rediss://localhost": RedisTransport,
    "sentinel://localhost:26379;sentinel://localhost:26380": SentinelTransport,
}


@pytest.mark.parametrize(("url", "transport"), URLS.items())
def test_every_redis_url_uses_our_transport(url: str, transport: Any) -> None:
    """Connections to redis://, rediss:// and sentinel:// record unacked messages with our QoS."""
    connection = BrokerConnection(url, ssl={"ssl_cert_reqs": "required"} if "rediss" in url else False)
    assert transport.Channel.QoS is RetryingQoS
    assert type(connection.transport) is transport
    assert type(connection.clone().transport) is transport


def test_the_next_sentinel_uses_our_transport() -> None:
    """A connection that switches to the next Sentinel keeps our transport."""
    connection = BrokerConnection("sentinel://localhost:26379;sentinel://localhost:26380")
    connection.maybe_switch_next()
    assert connection.port == 26380
    assert type(connection.transport) is SentinelTransport


def test_rabbitmq_uses_kombus_transport() -> None:
    """A connection to amqp:// is kombu's own."""
    assert BrokerConnection("amqp://localhost").get_transport_cls().driver_type == "amqp"


def test_kombus_own_classes_stay_as_they_are() -> None:
    """Other connections of the process keep kombu's channel and QoS."""
    transport: Any = kombu_redis.Transport
    assert transport.Channel is kombu_redis.Channel
    assert kombu_redis.Channel.QoS is kombu_redis.QoS


def test_one_client_for_each_pool(valkey: EmbeddedValkey) -> None:
    """A channel sends all its commands through one client, makes a new one for a new pool, and none for BRPOP."""
    with BrokerConnection(valkey.url) as connection:
        channel: Any = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        assert channel.client is not first
        with channel.conn_or_acquire(channel.client) as given:
            assert given is channel.client
        channel._pool = None
        with channel.conn_or_acquire() as renewed:
            assert renewed is not first
            assert renewed.connection_pool is channel.pool


# -- acknowledgements --------------------------------------------------------------------------------------------------


class Broker:
    """A queue with messages in hand."""

    def __init__(self, connection: BrokerConnection, client: Any) -> None:
        """Start with none."""
        self.client = client
        self._queue = connection.SimpleQueue("acknowledged")

    def take(self, count: int) -> list[Any]:
        """Send some messages, and take them."""
        for number in range(count):
            self._queue.put({"number": number})
        return [self._queue.get(timeout=5) for _ in range(count)]

    @property
    def unacked(self) -> tuple[int, int]:
        """How many messages Redis has recorded as unacked, in either of kombu's keys."""
        return self.client.hlen("unacked"), self.client.zcard("unacked_index")

    @property
    def queued(self) -> int:
        """How many messages wait in the queue."""
        return int(self.client.llen("acknowledged"))


@pytest.fixture
def broker(client: redis.Redis, valkey: EmbeddedValkey) -> Iterator[Broker]:
    """A queue on an empty broker."""
    with BrokerConnection(valkey.url) as connection:
        yield Broker(connection, client)


def test_a_stopping_worker_acknowledges_before_it_requeues(broker: Broker) -> None:
    """At the worker's end acknowledged messages do not come again, and the others return to the queue."""
    messages = broker.take(3)
    messages[1].ack()
    messages[0].channel.qos.restore_unacked_once()
    assert broker.unacked == (0, 0)
    assert broker.queued == 2


def test_requeueing_a_message(broker: Broker) -> None:
    """A requeued message waits in the queue again, and is not unacked any more."""
    first, second = broker.take(2)
    first.ack()
    second.requeue()
    assert (broker.queued, broker.unacked) == (1, (0, 0))


def test_a_lost_connection_is_named(broker: Broker) -> None:
    """Acknowledging over a closed channel raises ConnectionError, which Celery handles, and the message comes again."""
    (message,) = broker.take(1)
    qos, channel = message.channel.qos, message.channel
    qos.channel = None  # as kombu leaves it when a connection is lost
    with pytest.raises(redis.ConnectionError):
        qos.ack(message.delivery_tag)
    qos.channel = channel
    assert broker.unacked == (1, 1)
