"""Batches, beyond the jobs that were accepted with one: `accept.lua` and `finish.lua` count those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.domain.times import rfc3339
from worker.store.state_change import batch_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.domain.job import Batch
    from worker.store.records import Retention
    from worker.store.scripts import Scripts


class Batches:
    """Counts every item of a batch once: each write is one script, and safe to repeat."""

    def __init__(self, scripts: Scripts, clock: Callable[[], float], retention: Retention) -> None:
        """Use the store's scripts; `clock` returns Redis' time in epoch seconds."""
        self._scripts = scripts
        self._keys = scripts.keys
        self._clock = clock
        self._retention = retention

    def join(self, job_id: str, batch: Batch) -> None:
        """Let a job that was accepted before, alone or with another batch, count in this one, too."""
        self._scripts.join_batch(
            job=self._keys.job(job_id),
            **batch_arguments(self._keys, batch),
            batch_events=self._keys.batch_events(batch.id),
            id=job_id,
            timestamp=rfc3339(self._clock()),
        )

    def count_rejected(self, digest: str, batch: Batch) -> None:
        """Count an entry of the inbox that became no job; `digest` is that of its text."""
        self._scripts.count_rejected(
            **batch_arguments(self._keys, batch),
            batch_events=self._keys.batch_events(batch.id),
            digest=digest,
            timestamp=rfc3339(self._clock()),
            ttl=self._retention.record_s,
        )
