"""Redis transports of a worker: no message is lost while Redis refuses writes, and none ends the worker.

Four faults of kombu's transport are covered; each has a test in `tests/contract/test_transport.py`,
`tests/integration/redis_faults` or `tests/integration/test_malformed_messages.py`:

- kombu takes a message from Redis' list with one command and records it as unacked with a second one. If Redis refuses
  or loses the second (READONLY, OOM, gone), the message is lost. `RetryingQoS` repeats it until Redis accepts it.
- A message acknowledged late may outlive its connection. kombu then raises an AttributeError, which ends the worker;
  `RetryingQoS` raises ConnectionError, which Celery handles. The message comes again.
- kombu raises on an envelope that it cannot read, which ends the worker and then the next one. `_Guarded` and
  `_Tolerant` discard it.
- kombu makes a redis-py client for each command, which costs more CPU than the command.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.worker import state
from kombu import Connection
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from config.celery import celery_options
from config.settings import Settings
from worker.queue.rejected import MalformedMessage, record_rejected, reject_envelope
from worker.telemetry.health import health
from worker.telemetry.labels import LoopPart
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage
from worker.telemetry.shortage import is_shortage

RETRY_IN_S = 1.0
STOP_CHECK_S = 0.1  # how soon a waiting thread notices that the worker stops

BROKER_ERRORS: tuple[type[Exception], ...] = (
    *kombu_redis.Transport.connection_errors,
    *kombu_redis.Transport.channel_errors,
)


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
    if not isinstance(message.get("headers") or {}, dict):
        raise MalformedMessage("`headers` must be an object")
    return message


def wait_before_retry() -> bool:
    """Wait `RETRY_IN_S`; return False at once when the worker stops. The waiting consumer is no fault of its loop."""
    health.beat(LoopPart.CONSUMER)
    ends_at = time.monotonic() + RETRY_IN_S
    while time.monotonic() < ends_at:
        if any(getattr(state, name) is not None for name in ("should_stop", "should_terminate")):
            return False
        time.sleep(STOP_CHECK_S)
    return True


class RetryingQoS(kombu_redis.QoS):
    """Retries recording a message as unacked until Redis accepts it; otherwise the message could be lost."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message as unacked. Recording it twice does no harm."""
        outage = Outage(
            "message.unrecorded",
            "message.recorded",
            message="cannot record a message as unacked; it stays in this worker until Redis accepts it",
            recovered="the message is recorded as unacked",
        )
        while True:
            try:
                super().append(message, delivery_tag)
            except BROKER_ERRORS as error:
                outage.report(error)
                if not wait_before_retry():
                    event("message.lost", "the worker stopped with a message that Redis did not accept", warn=True)
                    raise
            else:
                outage.resolve()
                return

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message.

        Raises:
            redis.ConnectionError: its connection is lost; the message comes again after the visibility timeout.
        """
        with _lost_connection():
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's own signature
        """Reject a message; with `requeue`, return it to its queue.

        Raises:
            redis.ConnectionError: its connection is lost; the message comes again after the visibility timeout.
        """
        with _lost_connection():
            super().reject(delivery_tag, requeue=requeue)


@contextlib.contextmanager
def _lost_connection() -> Iterator[None]:
    """Raise what Celery handles where kombu raises AttributeError on a channel whose connection is lost."""
    try:
        yield
    except AttributeError as error:
        raise RedisConnectionError(f"the message's connection was closed: {error}") from error


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


class RedisChannel(_Tolerant):
    """Channel of a worker on `redis://` and `rediss://`."""

    QoS = RetryingQoS


class SentinelChannel(_Tolerant, kombu_redis.SentinelChannel):
    """Channel of a worker on `sentinel://`."""

    QoS = RetryingQoS


class _Guarded(kombu_redis.Transport):
    """Discards a message that kombu or Celery cannot handle, instead of ending the worker or its event loop."""

    def _deliver(self, message: Any, queue: Any) -> None:
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
            if channel and tag in channel.qos._delivered:  # noqa: SLF001 - see ADR 8
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
