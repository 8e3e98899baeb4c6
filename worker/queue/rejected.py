"""Records a message that cannot be used: a log line, and an entry that `photogpt-worker rejected` shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery.exceptions import InvalidTaskError, NotRegistered
from kombu.exceptions import ContentDisallowed, DecodeError
from redis import RedisError

from worker.domain.job import JsonObject
from worker.store.rejected import Rejected
from worker.telemetry.logs import event


@dataclass(slots=True)
class Handlers:
    """What else happens with a rejected message. Unset, as in a process without tasks, a message is only logged."""

    #: Opens the list of rejected messages.
    open_list: Callable[[], Rejected] | None = None
    #: Ends the job of a message, given its envelope and what is wrong with it.
    end_job: Callable[[JsonObject, str], None] | None = None


handlers = Handlers()
"""Set by `worker/queue/acceptance.py`: the transport calls this module, and the app, which has the clients of Redis,
imports the transport."""


class MalformedMessage(InvalidTaskError):
    """A message is malformed. The text is ours and quotes nothing of the message."""


FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (ContentDisallowed, "its content type is not accepted"),
    (DecodeError, "its body cannot be decoded"),
    (NotRegistered, "there is no such task"),
    (InvalidTaskError, "its headers or its body are malformed"),
)
"""What is said of an error whose own text may quote the message."""


def fault_of(error: Exception) -> str:
    """Return the kind of fault that an error shows, without any text of the message."""
    if isinstance(error, MalformedMessage):
        return str(error)
    return next((text for kind, text in FAULTS if isinstance(error, kind)), f"it raised {type(error).__name__}")


def record_rejected(error: Exception, headers: Any = None) -> None:
    """Log and store that a message was discarded, without its content.

    Args:
        error: why it cannot be used.
        headers: of the message, as far as they can be read.
    """
    known = headers if isinstance(headers, dict) else {}
    task, job, fault = known.get("task"), known.get("id"), fault_of(error)
    event("message.rejected", "discarded a message that cannot be used", warn=True, task=task, job=job, error=fault)
    if handlers.open_list is not None:
        with suppress(RedisError):  # the log line above holds the same
            handlers.open_list().add(fault, task=task, message_id=job)


def reject_envelope(error: Exception, envelope: Any) -> None:
    """Record a message whose envelope cannot be used, and end the job that it names.

    Raises:
        redis.RedisError: Redis is unavailable.
    """
    known = envelope if isinstance(envelope, dict) else {}
    record_rejected(error, known.get("headers"))
    if handlers.end_job is not None:
        handlers.end_job(known, fault_of(error))
