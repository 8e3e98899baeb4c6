"""Redis transports of a worker: no message is lost while Redis refuses writes, and none ends the worker.

Six faults of kombu's transport are covered; each has a test in `tests/contract/test_transport.py`,
`tests/integration/redis_faults` or `tests/integration/test_malformed_messages.py`:

- kombu takes a message from Redis' list with one command and records it as unacked with a second one. If Redis refuses
  or loses the second (READONLY, OOM, gone), the message is lost. `RetryingQoS` repeats it until Redis accepts it.
- kombu handles one message after the other, with three round trips each. `RetryingQoS` takes many with one command.
- A message acknowledged late may outlive its connection. kombu then raises an AttributeError, which ends the worker;
  `RetryingQoS` raises ConnectionError, which Celery handles. The message comes again.
- kombu raises on an envelope that it cannot read, which ends the worker and then the next one. `_Guarded` and
  `_Tolerant` discard it.
- kombu makes a redis-py client for each command, which costs more CPU than the command.
- kombu asks Redis for messages each second, an eighth of the CPU of a worker that waits. `_Guarded` asks less often.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis as kombu_redis
from kombu.utils.json import loads
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.celery import celery_options
from config.settings import Settings
from worker.queue.rejected import MalformedMessage, record_rejected, reject_envelope
from worker.queue.unacked import BROKER_ERRORS, RetryingQoS
from worker.telemetry.shortage import is_shortage

BRPOP_S = 3  # for which Redis waits for a message before it answers that there is none


def configure(app: Celery, settings: Settings) -> None:
    """Set Celery's options. A Sentinel that does not answer is asked once; redis-py would ask it for 7 s."""
    options = celery_options(settings)
    for each in (options["broker_transport_options"], options["result_backend_transport_options"]):
        if "sentinel_kwargs" in each:
            each["sentinel_kwargs"]["retry"] = Retry(NoBackoff(), retries=0)
    app.conf.update(options)


def checked_envelope(message: Any) -> Any:
    """Return the envelope of a message, with what kombu cannot do without.

    Raises:
        MalformedMessage: the envelope is malformed.
    """
    match message:
        case {"properties": {"delivery_tag": str()} as properties, "body": str()}:
            info = properties.get("delivery_info")
            properties["delivery_info"] = {"exchange": "", "routing_key": ""} | (info if isinstance(info, dict) else {})
        case _:
            raise MalformedMessage("the envelope needs `body` and `properties` with a `delivery_tag`")
    message["headers"] = message.get("headers") or {}
    if not isinstance(message["headers"], dict):
        raise MalformedMessage("`headers` must be an object")
    return message


class _OneClient(kombu_redis.Channel):
    """Uses one redis-py client for each connection pool.

    The clients for BRPOP and subscriptions hold connections of their own; kombu makes them as ever.
    """

    _shared: Any = None

    @contextlib.contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield `client`, or the client of the channel's pool."""
        if client is None and (self._shared is None or self._shared.connection_pool is not self.pool):
            with super().conn_or_acquire() as made:
                self._shared = made
        yield client or self._shared


class _Tolerant(_OneClient):
    """Discards an envelope that is not JSON."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs lack it
        except (ValueError, TypeError, RecursionError) as error:  # the message has left its queue already
            record_rejected(MalformedMessage(f"the envelope is not JSON: {type(error).__name__}"))
            return True


class _Finishing(_Tolerant):
    """Closes soon, and after the thread of its unacked messages; kombu disconnects first of all."""

    qos: Any
    _in_poll: Any  # the connection with a BRPOP in progress, or None

    def close(self) -> None:
        """Close the channel."""
        self.qos.finish()
        self._unblock()
        super().close()

    def _unblock(self) -> None:
        """Let Redis answer the BRPOP in progress at once, since kombu waits for it."""
        hello = getattr(self._in_poll, "handshake_metadata", None) or {}  # Redis' answer to HELLO; RESP2 has none
        client_id = hello.get(b"id")
        if client_id is not None:
            with contextlib.suppress(*BROKER_ERRORS), self.conn_or_acquire() as client:
                client.client_unblock(client_id)


class RedisChannel(_Finishing):
    """Channel of a worker on `redis://` and `rediss://`."""

    QoS = RetryingQoS


class SentinelChannel(_Finishing, kombu_redis.SentinelChannel):
    """Channel of a worker on `sentinel://`."""

    QoS = RetryingQoS


class _Guarded(kombu_redis.Transport):
    """Takes many messages with one command, and asks for them less often.

    Discards a message that kombu or Celery cannot handle. It would end the worker or its event loop.
    """

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let Redis wait longer for a message in a worker than in a command, which ends soon."""
        channels: Any = self.channels
        for channel in channels:
            channel.brpop_timeout = BRPOP_S
        super().register_with_event_loop(connection, loop)

    def _deliver(self, message: Any, queue: Any) -> None:
        taken = self._take_more(message, queue)
        self._deliver_one(message, queue)
        for text, tag in taken:
            try:
                further = loads(text.decode())
            except (ValueError, TypeError, RecursionError) as error:
                record_rejected(MalformedMessage(f"the envelope is not JSON: {type(error).__name__}"))
                self._acknowledge({"delivery_tag": tag})
            else:
                self._deliver_one(further, queue)

    def _take_more(self, message: Any, queue: Any) -> list[tuple[bytes, str]]:
        """Record a message as unacked, and take further ones of the same queue."""
        channels: Any = self.channels
        channel = next((each for each in channels if each and queue in each.active_queues), None)
        if channel is None:
            return []
        try:
            found: list[tuple[bytes, str]] = channel.qos.take_more(checked_envelope(message), queue)
        except MalformedMessage:
            return []
        return found

    def _deliver_one(self, message: Any, queue: Any) -> None:
        try:
            super()._deliver(checked_envelope(message), queue)
        except BROKER_ERRORS:
            raise
        except Exception as error:
            if is_shortage(error):
                raise  # no fault of the message
            reject_envelope(error, message)
            self._acknowledge(message.get("properties") if isinstance(message, dict) else None)

    def _acknowledge(self, properties: Any) -> None:
        """Acknowledge a message that was recorded as unacked before it failed."""
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        channels: Any = self.channels
        for channel in channels:
            if channel and channel.qos.holds(tag):
                channel.basic_ack(tag)


class RedisTransport(_Guarded, kombu_redis.Transport):
    """Transport of a worker on `redis://` and `rediss://`."""

    Channel = RedisChannel


class SentinelTransport(_Guarded, kombu_redis.SentinelTransport):
    """Transport of a worker on `sentinel://`."""

    Channel = SentinelChannel


TRANSPORTS = {"redis": RedisTransport, "rediss": RedisTransport, "sentinel": SentinelTransport}


class BrokerConnection(Connection):
    """A connection that uses our transport for Redis and kombu's for every other broker.

    A transport named in the settings would be lost when kombu switches to the next Sentinel: it then takes the
    transport from the URL again.
    """

    def get_transport_cls(self) -> Any:
        """Return the transport of the URL's scheme."""
        return TRANSPORTS.get(self.transport_cls) or super().get_transport_cls()


class BrokerAMQP(AMQP):
    """Celery's messages over `BrokerConnection`."""

    Connection = BrokerConnection
