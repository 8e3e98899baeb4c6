"""Records a message that cannot be used: a log line, and an entry that `photogpt-worker rejected` shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery.exceptions import InvalidTaskError, NotRegistered
from kombu.exceptions import ContentDisallowed, DecodeError
from redis import RedisError

from worker.store.rejected import Rejected
from worker.telemetry.logs import event

rejected_store: Callable[[], Rejected] | None = None
"""Opens the list. The app sets it, since the transport has no clients of its own."""

end_job: Callable[[dict[str, Any], str], None] | None = None
"""Ends the job of a message, given its envelope and what is wrong with it. `acceptance` sets it."""


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
    if rejected_store is not None:
        with suppress(RedisError):  # the log line above holds the same
            rejected_store().add(fault, task=task, message_id=job)


def reject_envelope(error: Exception, envelope: Any) -> None:
    """Record a message whose envelope cannot be used, and end the job that it names.

    Raises:
        redis.RedisError: Redis is unavailable.
    """
    known = envelope if isinstance(envelope, dict) else {}
    record_rejected(error, known.get("headers"))
    if end_job is not None:
        end_job(known, fault_of(error))
