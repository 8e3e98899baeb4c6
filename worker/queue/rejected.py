"""Records a message that cannot be used: a log line, and an entry that `photogpt-worker rejected` shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import RedisError

from worker.store.rejected import Rejected
from worker.telemetry.logs import event

MAX_ERROR = 200  # characters in the log

rejected_store: Callable[[], Rejected] | None = None
"""Opens the list. The app sets it, since the transport has no clients of its own."""


def record_rejected(error: Exception, headers: Any = None) -> None:
    """Log and store that a message was discarded, without its content.

    Args:
        error: why it cannot be used.
        headers: of the message, as far as they can be read.
    """
    known = headers if isinstance(headers, dict) else {}
    task, job = known.get("task"), known.get("id")
    text = f"{type(error).__name__}: {error}"[:MAX_ERROR]
    event("message.rejected", "discarded a message that cannot be used", warn=True, task=task, job=job, error=text)
    if rejected_store is not None:
        with suppress(RedisError):  # the log line above holds the same
            rejected_store().add(text, task=task, message_id=job)
