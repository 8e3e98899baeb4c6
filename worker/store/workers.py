"""The worker processes that run, and the marker by which they notice that Redis has lost data."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from worker import __version__
from worker.domain.data_loss import DataLoss
from worker.domain.lane import Lane

if TYPE_CHECKING:
    import redis

    from worker.store.scripts import Scripts

WORKERS_KEPT_S = 3600
"""How long the name of a worker that ended is kept."""

MAX_BEHIND_S = 6.0
"""How much older the data of a Redis may be after a crash or a failover before that counts as a loss.

An append-only file with `appendfsync everysec` lacks up to two seconds, and a worker marks itself every three seconds.
"""


def process_name(node: str, pid: int) -> str:
    """Return the name under which a worker process of this version marks itself."""
    return f"{node} {pid} v{__version__}"


def version_of(name: str) -> str | None:
    """Return the version in the name of a worker process; None if it has none."""
    _, mark, version = name.rpartition(" v")
    return version if mark else None


class Workers:
    """Records that this process runs. Remembers the marker of the data that it has seen."""

    def __init__(self, client: redis.Redis, scripts: Scripts) -> None:
        """Use one client; nothing is remembered yet."""
        self._client: Any = client
        self._keys = scripts.keys
        self._scripts = scripts
        self._marker = ""
        self._marked_at = "0"
        self._in_flight = 0

    def mark(self, name: str) -> DataLoss | None:
        """Record that a worker process runs; return what Redis has lost since the last call, or None.

        The first call of all workers makes the marker. A call that is repeated, or fails, misses no loss.
        """
        at, marker, in_flight, lost, restored_to = self._scripts.mark_worker(
            workers=self._keys.workers,
            data=self._keys.data,
            lanes=[self._keys.lane(Lane.JOBS), self._keys.lane(Lane.MODELS)],
            id=name,
            kept=WORKERS_KEPT_S,
            fresh_marker=secrets.token_hex(8),
            marker=self._marker,
            marked_at=self._marked_at,
            max_behind=MAX_BEHIND_S,
            in_flight=self._in_flight,
        )
        loss = read_loss((at, self._marked_at, lost, restored_to, str(self._in_flight))) if lost else None
        self._marker, self._marked_at, self._in_flight = marker, at, in_flight
        return loss

    def forget(self, name: str) -> None:
        """Record that a worker process has ended."""
        self._client.zrem(self._keys.workers, name)


def read_loss(fields: Iterable[str | None]) -> DataLoss | None:
    """Return a loss from the fields `lost_at`, `last_seen_at`, `lost`, `restored_to`, `in_flight`; None without one."""
    noticed_at, last_seen_at, lost, restored_to, in_flight = fields
    if not noticed_at:
        return None
    return DataLoss(
        noticed_at=float(noticed_at),
        last_seen_at=float(last_seen_at or 0),
        complete=lost == "all",
        restored_to=float(restored_to) if restored_to else None,
        in_flight=int(in_flight or 0),
    )
