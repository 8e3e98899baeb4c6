"""Other users of our broker: producers whose messages no worker reads, and another app's workers on our queues."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu.pidbox import Mailbox
from redis.exceptions import NoPermissionError, ResponseError

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

OUR_PREFIX = "photogpt."
OUR_TASK = "photogpt.generate_image"
PRIORITY = re.compile(r"(.+?)(\d+)")
"""What kombu appends to a queue's name: the separator and the priority."""

KEYS_PER_SCAN = 1000
MAX_SCANS = 2000
"""Limits one check to two million keys of a database that other services use too."""

UNREAD_AFTER_S = 1.0
"""A list whose next message is the same after this time is not being read."""

REPLY_WITHIN_S = 1.0
"""How long workers have to answer a question over the broker, seconds."""


@dataclass(frozen=True, slots=True)
class UnreadList:
    """A list in Redis that holds messages of our tasks, and that no worker reads."""

    name: str
    length: int
    advice: str

    def __str__(self) -> str:
        """Return the sentence for operators."""
        return f"no worker reads the list {self.name!r}, which holds messages for our tasks: {self.advice}"


def unread_lists(app: Celery) -> list[UnreadList]:
    """Return the lists of a broker on Redis that hold messages of our tasks and that no worker reads.

    Producers write such lists if their priority steps, separator, key prefix or default queue differ from ours.

    Raises:
        kombu.exceptions.OperationalError, redis.RedisError: the broker is unavailable.
    """
    with app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            return []
        channel: Any = connection.default_channel
        client, read = channel.client, _lists_of(app)
        before = {name: _next_message(client, name) for name in _lists(client) if name not in read}
        ours = {name: message for name, message in before.items() if _is_ours(message)}
        if ours:
            time.sleep(UNREAD_AFTER_S)
        queues, separator = [str(queue) for queue in app.amqp.queues], app.conf.broker_transport_options["sep"]
        return [
            UnreadList(name, int(client.llen(name)), _advice(name, queues, separator))
            for name, message in sorted(ours.items())
            if _next_message(client, name) == message
        ]


def foreign_consumers(app: Celery) -> list[str]:
    """Return the names of another app's workers that consume one of our queues; they throw our tasks away.

    Raises:
        kombu.exceptions.OperationalError, redis.RedisError: the broker is unavailable.
    """
    queues = set(app.amqp.queues)
    with app.connection_for_write() as connection:
        used = _ask(connection, "active_queues")
        consumers = {node for node, found in used.items() if queues & {queue["name"] for queue in found or ()}}
        tasks = _ask(connection, "registered") if consumers else {}
    ours = {node for node, names in tasks.items() if any(name.startswith(OUR_TASK) for name in names)}
    return sorted((consumers & tasks.keys()) - ours)


def _ask(connection: Connection, command: str) -> dict[str, Any]:
    """Return the answers of every worker to a remote control command, by the worker's name."""
    # Celery's own exchange, which other apps listen on; that of our namespace may have another name
    mailbox: Any = Mailbox("celery", type="fanout", accept=["json"], serializer="json")
    answers = mailbox(connection).multi_call(command, timeout=REPLY_WITHIN_S)
    return {node: answer for each in answers or () for node, answer in each.items()}


def foreign_consumer_warning(names: Iterable[str]) -> str:
    """Return the sentence for operators."""
    return (
        f"{', '.join(names)} of another Celery app consumes our queue and throws our tasks away; give that app another "
        "queue, or name another one for our producers with PHOTOGPT_QUEUE"
    )


def _lists_of(app: Celery) -> set[str]:
    """Return the names of the lists that our workers read: one for each queue and priority step."""
    options = app.conf.broker_transport_options
    steps = [f"{options['sep']}{step}" if step else "" for step in options["priority_steps"]]
    return {f"{queue}{step}" for queue in app.amqp.queues for step in steps}


def _lists(client: Any) -> Iterator[str]:
    """Yield the names of lists, up to a number of keys."""
    cursor = 0
    for _ in range(MAX_SCANS):
        cursor, names = client.scan(cursor, count=KEYS_PER_SCAN, _type="LIST")
        yield from (_text(name) for name in names)
        if not cursor:
            return


def _next_message(client: Any, name: str) -> str:
    """Return the message that the next reader of a list gets; '' if there is none, or it may not be read."""
    try:
        return _text(client.lindex(name, -1) or b"")
    except (NoPermissionError, ResponseError):  # the second: it is no list any more
        return ""


def _text(value: Any) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _is_ours(message: str) -> bool:
    try:
        return str(json.loads(message)["headers"]["task"]).startswith(OUR_PREFIX)
    except (ValueError, TypeError, KeyError):
        return False


def _advice(name: str, queues: Iterable[str], separator: str) -> str:
    """Return what to do, by how the list's name differs from the names of our queues."""
    for queue in queues:
        before, found, after = name.partition(queue)
        if found and before:
            return f"the producer's broker_transport_options have the global_keyprefix {before!r}; remove it there"
        if found and (step := PRIORITY.fullmatch(after)):
            variable, option = "PHOTOGPT_PRIORITY_STEPS", "other priority_steps"
            if step[1] != separator:
                variable, option = "PHOTOGPT_QUEUE_SEPARATOR", f"the sep {step[1]!r}"
            return f"the producer's broker_transport_options have {option}; set {variable} to it"
    return "the producer has another task_default_queue or namespace; set PHOTOGPT_QUEUE to it, or correct the producer"
