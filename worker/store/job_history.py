"""What the command line and the Python client read about jobs: events, outcomes and whole records."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from worker.domain.files import FILE_EVENTS
from worker.domain.job import JobState, JsonObject
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.store.codec import decode_outcome
from worker.store.streams import entries_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import redis

    from worker.domain.outcome import Outcome
    from worker.store.scripts import Scripts

STREAM_START = "0-0"
"""The entry after which a reader misses no event."""

BATCH = 500
"""Events that are read at once."""

JOB_LANES = (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS, Lane.FILES, Lane.RESULTS)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a stream."""

    #: The stream's id of this event; the next read starts after it.
    entry: str
    job_id: str
    type: str
    timestamp: str
    data: JsonObject | None

    @property
    def state(self) -> JobState | None:
        """The state that the job entered; None for an event about its files."""
        return None if self.type in FILE_EVENTS else JobState(self.type.rpartition(".")[2])


class JobHistory:
    """Reads jobs for people and for producers."""

    def __init__(self, client: redis.Redis, scripts: Scripts) -> None:
        """Use one client."""
        self._client: Any = client  # redis-py types its answers for a sync and an async client at once
        self._keys = scripts.keys
        self._scripts = scripts

    def events(self, job_id: str) -> list[JobEvent]:
        """Return every event of a job, oldest first."""
        return [_event(entry, fields, job_id) for entry, fields in self._client.xrange(self._keys.events(job_id))]

    def wait_for_job_events(self, job_id: str, *, after: str, block_s: float) -> list[JobEvent]:
        """Return a job's events after an entry; wait up to `block_s` seconds for one."""
        return [
            _event(entry, fields, job_id) for entry, fields in self._read(self._keys.events(job_id), after, block_s)
        ]

    def wait_for_events(self, *, after: str, block_s: float) -> list[JobEvent]:
        """Return the events of all jobs after an entry, without those of endpoints; wait up to `block_s` seconds."""
        read = self._read(self._keys.all_events, after, block_s)
        return [_event(entry, fields, fields["job"]) for entry, fields in read if fields["sequence"] != "0"]

    def newest_entry(self) -> str:
        """Return the id of the newest event of all, after which a reader sees only new ones."""
        newest = self._client.xrevrange(self._keys.all_events, count=1)
        return str(newest[0][0]) if newest else STREAM_START

    def recent_job_ids(self) -> Iterator[list[str]]:
        """Return the ids of jobs in batches, those with the newest events first."""
        known: set[str] = set()
        newest = "+"
        while True:
            batch = self._client.xrevrange(self._keys.all_events, max=newest, count=BATCH)
            fresh = list(dict.fromkeys(fields["job"] for _, fields in batch if fields["job"] not in known))
            known.update(fresh)
            if fresh:
                yield fresh
            if len(batch) < BATCH:
                return
            newest = f"({batch[-1][0]}"

    def outcomes(self, ids: Iterable[str]) -> list[Outcome]:
        """Return the outcomes of jobs in the given order, without jobs whose record has expired."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(self._keys.job(job_id))
        return [decode_outcome(record) for record in pipeline.execute() if record]

    def recent_failures(self, limit: int) -> list[Outcome]:
        """Return up to `limit` outcomes of jobs that failed or expired, newest first, among the last events."""
        newest = self._client.xrevrange(self._keys.all_events, count=2 * BATCH)
        failed = (fields["job"] for _, fields in newest if fields["type"].endswith((".failed", ".expired")))
        return self.outcomes(islice(dict.fromkeys(failed), limit))

    def delays(self, sample: int = 50) -> list[tuple[str, str]]:
        """Return reason and error of the jobs that are delayed, among the first `sample` jobs of each lane."""
        pipeline = self._client.pipeline(transaction=False)
        for lane in (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS):
            pipeline.zrange(self._keys.lane(lane), 0, sample - 1)
        for job_id in [job_id for ids in pipeline.execute() for job_id in ids]:
            pipeline.hmget(self._keys.job(job_id), "reason", "error")
        return [(reason, error or "") for reason, error in pipeline.execute() if reason and reason != Reason.SCHEDULED]

    def continuation(self, job_id: str) -> str | None:
        """Return the continuation stored with a job, as JSON."""
        return self._client.hget(self._keys.job(job_id), "continuation") or None

    def continuations(self) -> Iterator[tuple[str, str]]:
        """Return id and continuation, as JSON, of each unfinished job that has one."""
        for lane in (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS):
            ids = (member for member, _ in self._client.zscan_iter(self._keys.lane(lane), count=BATCH))
            while batch := list(islice(ids, BATCH)):
                pipeline = self._client.pipeline(transaction=False)
                for job_id in batch:
                    pipeline.hget(self._keys.job(job_id), "continuation")
                found = zip(batch, pipeline.execute(), strict=True)
                yield from ((job_id, text) for job_id, text in found if text)

    def position(self, job_id: str) -> int | None:
        """Return how many jobs are admitted before a queued one, or None if it does not wait for admission."""
        rank: int | None = self._client.zrank(self._keys.queue, job_id)
        return rank

    def record(self, job_id: str) -> dict[str, str]:
        """Return the record of a job as it is stored; empty if there is none."""
        record: dict[str, str] = self._client.hgetall(self._keys.job(job_id))
        return record

    def next_step(self, job_id: str) -> tuple[Lane, float] | None:
        """Return the lane in which a job waits and when it is due, epoch seconds; None if it waits in none."""
        pipeline = self._client.pipeline(transaction=False)
        for lane in JOB_LANES:
            pipeline.zscore(self._keys.lane(lane), job_id)
        found = zip(JOB_LANES, pipeline.execute(), strict=True)
        return next(((lane, float(due)) for lane, due in found if due is not None), None)

    def has_unresolved_intent(self, job_id: str) -> bool:
        """Whether PhotoGPT may have created something for a job without an answer that is known."""
        intents = (self._keys.intents, self._keys.ended_intents)
        return any(self._client.zscore(key, job_id) is not None for key in intents)

    def choose_replay(self, job_id: str) -> str | None:
        """Return the id under which a job is replayed, always the same one; None if the job has no record."""
        chosen: str | None = self._scripts.choose_replay(job=self._keys.job(job_id), new_id=str(uuid.uuid4()))
        return chosen

    def withdraw_replay(self, job_id: str) -> None:
        """Forget the id under which a job was to be replayed."""
        self._client.hdel(self._keys.job(job_id), "replayed_as")

    def _read(self, stream: str, after: str, block_s: float) -> list[tuple[str, dict[str, str]]]:
        return entries_of(self._client.xread({stream: after}, block=max(1, int(block_s * 1000))))


def _event(entry: str, fields: dict[str, str], job_id: str) -> JobEvent:
    data = json.loads(fields["data"]) if fields.get("data") else None
    return JobEvent(entry=entry, job_id=job_id, type=fields["type"], timestamp=fields["timestamp"], data=data)
