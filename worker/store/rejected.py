"""Messages that could not be used: a bounded list without their content, which may hold prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.domain.times import rfc3339
from worker.store import keys
from worker.store.codec import dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from worker.domain.job import JsonObject

MAX_REJECTED = 200
"""Messages that are kept; the count goes on."""

RETENTION_S = 30 * 86_400
"""After the last rejected message."""

MAX_TEXT = 200
"""Characters of each text that came with a message."""


class Rejected:
    """Reads and writes the list of rejected messages."""

    def __init__(self, client: redis.Redis, clock: Callable[[], float]) -> None:
        """Use one client; `clock` returns Redis' time in epoch seconds."""
        self._client: Any = client
        self._clock = clock

    def add(self, error: str, *, task: object = None, message_id: object = None) -> None:
        """Record one message.

        Args:
            error: why it could not be used.
            task: the name of the task, if it can be read.
            message_id: the id of the task, if it can be read.
        """
        entry = {"at": rfc3339(self._clock()), "error": error[:MAX_TEXT], "task": _text(task), "id": _text(message_id)}
        pipeline = self._client.pipeline(transaction=True)
        pipeline.lpush(keys.REJECTED, dumps(entry))
        pipeline.ltrim(keys.REJECTED, 0, MAX_REJECTED - 1)
        pipeline.incr(keys.REJECTED_COUNT)
        for key in (keys.REJECTED, keys.REJECTED_COUNT):
            pipeline.expire(key, RETENTION_S)
        pipeline.execute()

    def count(self) -> int:
        """Return how many messages were rejected, those included that are no longer listed."""
        return int(self._client.get(keys.REJECTED_COUNT) or 0)

    def listed(self, limit: int = MAX_REJECTED) -> list[JsonObject]:
        """Return the last rejected messages, newest first: `at`, `error`, `task`, `id`."""
        return [json.loads(entry) for entry in self._client.lrange(keys.REJECTED, 0, limit - 1)]


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:MAX_TEXT]
