"""How many messages wait in the broker, as its own queues say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound
from kombu.exceptions import ChannelError

from config.celery import queue_names
from worker.telemetry.labels import QueueName

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

    from config.settings import Settings

CONNECT_S = 3


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages in the broker."""

    #: Messages that no worker has taken, by queue.
    waiting: dict[QueueName, int]
    #: Messages that workers have taken and not acknowledged; None where the broker does not say, as RabbitMQ.
    unacked: int | None


def read_backlog(app: Celery, settings: Settings) -> Backlog:
    """Return the messages in the broker. A queue that does not exist yet has none.

    Raises:
        kombu.exceptions.OperationalError: the broker is unavailable; for Redis also redis.RedisError.
    """
    with app.connection_for_read(heartbeat=0) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
        waiting = {QueueName(short): _size(connection, name) for short, name in queue_names(settings).items()}
        if connection.transport.driver_type != "redis":
            return Backlog(waiting, None)
        channel: Any = connection.default_channel
        return Backlog(waiting, int(channel.client.zcard(f"{settings.namespace}.unacked_index")))


def _size(connection: Connection, queue: str) -> int:
    """Return the number of messages in a queue. A passive declaration of a missing one closes its channel."""
    channel: Any = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except (ChannelError, NotFound):
        return 0
    finally:
        channel.close()
