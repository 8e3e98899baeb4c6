"""The inbox: a stream to which producers append jobs, and which the workers of a namespace read as one consumer group.

An entry is deleted once its job is stored, so the stream holds what no worker has accepted yet. All workers read under
one consumer name: an entry that a killed worker had read is claimed by its idle time, and no name is left behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.domain.inbox_entry import FIELD
from worker.store.streams import entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import redis

    from worker.store.keys import Keys

GROUP = "workers"
CONSUMER = "worker"
FROM_START = "0"
"""Where a new group begins: every entry that is still there has to be accepted."""


class Unacknowledged(RedisError):
    """Redis did not answer, so an entry may be appended or not. Append it again: one id is one job."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream."""

    id: str
    fields: dict[str, str]


class Inbox:
    """Appends, reads and deletes entries."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Use one client; a read that blocks holds one of its connections."""
        self._client: Any = client
        self._key = keys.inbox

    def append(self, job: str) -> str:
        """Append an entry, given its JSON; return the entry's id.

        Raises:
            Unacknowledged: the answer was lost.
        """
        try:
            return str(self._client.xadd(self._key, {FIELD: job}))
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise Unacknowledged(str(error)) from error

    def holds(self, entry_id: str) -> bool:
        """Return whether an entry is still to be accepted."""
        return bool(self._client.xrange(self._key, entry_id, entry_id))

    def length(self) -> int:
        """Return how many entries are still to be accepted."""
        return int(self._client.xlen(self._key))

    def read(self, limit: int, *, block_s: float) -> list[Entry]:
        """Return entries that no worker has read yet; wait up to `block_s` seconds for one."""
        streams, block = {self._key: ">"}, int(block_s * 1000)
        read = self._in_group(lambda: self._client.xreadgroup(GROUP, CONSUMER, streams, count=limit, block=block))
        return _known(entries_of(read))

    def claim(self, limit: int, *, idle_s: float) -> list[Entry]:
        """Return entries that a worker read at least `idle_s` seconds ago, and has not deleted."""
        idle = int(idle_s * 1000)
        answer = self._in_group(lambda: self._client.xautoclaim(self._key, GROUP, CONSUMER, idle, count=limit))
        return _known(answer[1])

    def delete(self, entry_ids: Iterable[str]) -> None:
        """Acknowledge and delete entries."""
        ids = list(entry_ids)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xack(self._key, GROUP, *ids)
        pipeline.xdel(self._key, *ids)
        pipeline.execute()

    def _in_group(self, command: Callable[[], Any]) -> Any:
        """Run a command of the group, and create the group where it is missing: at the start, or after a flush."""
        while True:
            try:
                return command()
            except ResponseError as error:
                if not _is_group_missing(error):
                    raise
            self._create_group()  # again after a second flush, since the command may block for a while

    def _create_group(self) -> None:
        try:
            self._client.xgroup_create(self._key, GROUP, FROM_START, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # another worker was faster
                raise


def _is_group_missing(error: ResponseError) -> bool:
    """Return whether the group does not exist, or was deleted with the stream during a read that blocked."""
    return any(code in str(error) for code in ("NOGROUP", "UNBLOCKED"))


def _known(read: Iterable[tuple[str | None, dict[str, str]]]) -> list[Entry]:
    """Return what was read, without entries that another client has deleted."""
    return [Entry(entry_id, fields) for entry_id, fields in read if entry_id is not None and fields]
