"""The worker's transport on a real broker: batches of acknowledgements, and messages that outlive their connection."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Consumer, Queue
from kombu.asynchronous import Hub
from kombu.transport import redis as kombu_redis

from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.queue import transport
from worker.queue.transport import (
    BrokerConnection,
    RedisTransport,
    SentinelTransport,
)
from worker.queue.unacked import RetryingQoS


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


def test_acknowledging_after_the_connection_is_lost(orphan: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Acknowledging a message of a closed connection is an error that Celery logs; any other would end the worker."""
    message, errors = orphan
    message.ack_log_error(logging.getLogger("a test"), errors)
    assert "Couldn't ack" in caplog.text


def test_requeueing_after_the_connection_is_lost(orphan: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Requeueing a message of a closed connection is an error that Celery logs; any other would end the worker."""
    message, errors = orphan
    message.reject_log_error(logging.getLogger("a test"), errors, requeue=True)
    assert "Couldn't reject" in caplog.text


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


def test_a_channel_closes_after_its_thread(valkey: EmbeddedValkey) -> None:
    """A channel that closes lets its thread finish with Redis before the connections are closed."""
    answers: list[Any] = []
    with BrokerConnection(valkey.url) as connection:
        channel: Any = connection.channel()

        def use() -> None:
            with channel.conn_or_acquire() as used:
                answers.append(used.blpop("nothing", timeout=0.5))

        channel.qos._run(use)
        wait_until(lambda: channel.pool._in_use_connections, "the thread waits for Redis")
        channel.close()
        assert answers == [None]


def test_a_channel_closes_while_it_waits_for_messages(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker lets Redis wait for messages as long as `BRPOP_S` says, and a channel that closes ends that wait."""
    monkeypatch.setattr(transport, "BRPOP_S", 60)
    hub: Any = Hub()
    observer: Any = client
    connection = BrokerConnection(valkey.url)
    with connection, Consumer(connection, [Queue("nothing")], on_message=print):
        connection.register_with_event_loop(hub)
        hub.call_soon(int)
        with observer.monitor() as monitor:
            hub.run_once()
            brpop = next(line for each in monitor.listen() if (line := each["command"]).startswith("BRPOP"))
        assert brpop.endswith(" 60")
        channel: Any = connection.default_channel
        assert channel._in_poll
        wait_until(lambda: client.info("clients")["blocked_clients"] == 1, "Redis waits for a message")
        closing = threading.Thread(target=channel.close, daemon=True)
        closing.start()
        wait_until(lambda: not closing.is_alive(), "the channel is closed")
    hub.close()


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


# -- many messages with one command ------------------------------------------------------------------------------------

HEADERS = {"task": "photogpt.cancel", "id": "x"}


class Consuming:
    """A consumer of one queue, with a limit of messages in hand."""

    def __init__(self, connection: BrokerConnection, limit: int) -> None:
        """Take nothing yet."""
        self.messages: list[Any] = []
        self._connection = connection
        self._consumer = Consumer(connection, [Queue(NAME)], on_message=self.messages.append)
        self._consumer.qos(prefetch_count=limit)

    @property
    def numbers(self) -> list[Any]:
        """What the messages carry."""
        return [message.payload for message in self.messages]

    def read_once(self) -> None:
        """Let kombu handle one answer to BRPOP."""
        with self._consumer:
            self._connection.drain_events(timeout=5)


NAME = "taken"

HEXADECIMAL = json.dumps(
    {
        "body": "MA==",
        "headers": HEADERS | {"n": 65535},
        "properties": {"delivery_tag": "t", "delivery_info": {"routing_key": NAME}},
    }
).replace("65535", "0xffff")
"""Redis reads this as JSON, and Python does not."""


@pytest.fixture
def consuming(client: redis.Redis, valkey: EmbeddedValkey) -> Iterator[Callable[[int], Consuming]]:
    """Return a consumer, given its limit, of a queue of five messages."""
    with BrokerConnection(valkey.url) as connection:
        for number in range(5):
            connection.Producer().publish(number, routing_key=NAME, headers=HEADERS, declare=[Queue(NAME)])
        yield lambda limit: Consuming(connection, limit)


def expire_unacked(client: redis.Redis) -> None:
    """Let the visibility timeout of all unacked messages end, as if their worker had died long ago."""
    client.zunionstore("unacked_index", {"unacked_index": 0})


@pytest.mark.parametrize(("limit", "expected"), [(20, [0, 1, 2, 3, 4]), (3, [0, 1, 2]), (1, [0])])
def test_many_messages_with_one_command(
    consuming: Callable[[int], Consuming], client: redis.Redis, limit: int, expected: list[int]
) -> None:
    """A consumer takes as many messages at once as it may have in hand; all are unacked until they are acknowledged."""
    consumer = consuming(limit)
    consumer.read_once()
    assert consumer.numbers == expected
    assert client.hlen("unacked") == client.zcard("unacked_index") == len(expected)
    assert client.llen(NAME) == 5 - len(expected)
    for message in consumer.messages:
        message.ack()
    wait_until(lambda: not client.exists("unacked", "unacked_index"), "they are acknowledged")


def test_taken_messages_come_again_after_a_crash(consuming: Callable[[int], Consuming], client: redis.Redis) -> None:
    """Kombu can return every taken message to the queue it came from, whatever its exchange."""
    consumer = consuming(20)
    consumer.read_once()
    qos = consumer.messages[0].channel.qos
    expire_unacked(client)
    qos.restore_visible(num=10, interval=1)
    wait_until(lambda: client.llen(NAME) == 5, "they are in the queue again")
    assert not client.exists("unacked", "unacked_index")
    assert all(json.loads(text)["headers"]["redelivered"] for text in client.lrange(NAME, 0, -1))


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"body": 1}',
        '{"body": "", "headers": [1], "properties": {"delivery_tag": "t", "delivery_info": []}}',
        "[" * 2000 + "]" * 2000,
        '{"body": "MA==", "headers": {"task": 0x1}, "properties": {"delivery_tag": "t", "delivery_info": {}}}',
        HEXADECIMAL,
    ],
)
def test_an_unreadable_message_among_others(
    consuming: Callable[[int], Consuming], client: redis.Redis, text: str
) -> None:
    """A message that is taken with others and cannot be used is discarded; the others are handled."""
    client.lset(NAME, 2, text)
    consumer = consuming(20)
    consumer.read_once()
    assert consumer.numbers == [0, 1, 3, 4]
    wait_until(lambda: client.hlen("unacked") == client.zcard("unacked_index") == 4, "only these are unacked")
    assert client.llen(NAME) == 0


def test_an_unreadable_unacked_message(consuming: Callable[[int], Consuming], client: redis.Redis) -> None:
    """What is recorded as unacked and is not JSON is discarded; the others come again."""
    consumer = consuming(4)
    consumer.read_once()
    first, *_ = client.hkeys("unacked")
    client.hset("unacked", first, "no JSON")
    expire_unacked(client)
    consumer.messages[0].channel.qos.restore_visible(num=10, interval=1)
    wait_until(lambda: not client.exists("unacked", "unacked_index"), "no message is unacked")
    assert client.llen(NAME) == 4


def test_a_consumer_without_a_limit_takes_one(client: redis.Redis, valkey: EmbeddedValkey) -> None:
    """Answers of remote control, which no consumer acknowledges, are taken one by one and not recorded as unacked."""
    with BrokerConnection(valkey.url) as connection:
        for number in range(2):
            connection.Producer().publish(number, routing_key=NAME, headers=HEADERS, declare=[Queue(NAME)])
        messages: list[Any] = []
        with Consumer(connection, [Queue(NAME)], on_message=messages.append, no_ack=True):
            connection.drain_events(timeout=5)
    assert len(messages) == 1
    assert not client.exists("unacked")
