"""What the command line reads from Redis beyond what the service itself reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.store import keys
from worker.store.codec import decode_outcome
from worker.store.connection import Store
from worker.store.keys import Lane

BATCH = 500
STREAM_START = "0-0"
JOB_LANES = (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS, Lane.RESULTS)


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
    def state(self) -> JobState:
        """The state that the job entered."""
        return JobState(self.type.rpartition(".")[2])


def job_events(store: Store, job_id: str) -> list[JobEvent]:
    """Return every event of a job, oldest first."""
    entries: Any = store.client.xrange(keys.events(job_id))
    return [_job_event(entry, fields, job_id) for entry, fields in entries]


def wait_for_job_events(store: Store, job_id: str, *, after: str, block_s: float) -> list[JobEvent]:
    """Return a job's events after an entry; wait up to `block_s` seconds for one. `STREAM_START` misses none."""
    return [_job_event(entry, fields, job_id) for entry, fields in _read(store, keys.events(job_id), after, block_s)]


def wait_for_events(store: Store, *, after: str, block_s: float) -> list[JobEvent]:
    """Return the events of all jobs after an entry; wait up to `block_s` seconds. Events of endpoints are left out."""
    read = _read(store, keys.EVENTS, after, block_s)
    return [_job_event(entry, fields, fields["job"]) for entry, fields in read if fields["sequence"] != "0"]


def newest_entry(store: Store) -> str:
    """Return the id of the newest event of all, after which a reader sees only new ones."""
    newest: Any = store.client.xrevrange(keys.EVENTS, count=1)
    return str(newest[0][0]) if newest else STREAM_START


def recent_outcomes(
    store: Store, *, limit: int, state: JobState | None = None, kind: Kind | None = None
) -> list[Outcome]:
    """Return up to `limit` outcomes, final or not, of the jobs with the newest events first."""
    found: list[Outcome] = []
    for ids in _recent_ids(store):
        for outcome in outcomes(store, ids):
            if (state is None or outcome["state"] == state) and (kind is None or outcome["kind"] == kind):
                found.append(outcome)
                if len(found) == limit:
                    return found
    return found


def outcomes(store: Store, ids: Iterable[str]) -> list[Outcome]:
    """Return the outcomes of jobs in the given order, without jobs whose record has expired."""
    pipeline = store.client.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hgetall(keys.job(job_id))
    return [decode_outcome(record) for record in pipeline.execute() if record]


def job_details(store: Store, job_id: str) -> JsonObject | None:
    """Return everything that is stored about a job, as `show --json` prints it; None if there is no record."""
    record: Any = store.client.hgetall(keys.job(job_id))
    if not record:
        return None
    copied = ("deadline_at", "tenant", "idempotency_key", "webhook_url", "published_at")
    return {
        "outcome": decode_outcome(record),
        "request": json.loads(record["request"]),
        **{name: record.get(name) for name in copied},
        "duplicate_of": record.get("follows"),
        "attempts": int(record.get("attempts", 0)),
        "intent_open": "intent_at" in record,
        "next_step": _next_step(store, job_id),
        "queue_position": store.jobs.position(job_id),
        "events": [{"type": event.type, "timestamp": event.timestamp} for event in job_events(store, job_id)],
        "deliveries": store.deliveries.of_job(job_id),
    }


def _next_step(store: Store, job_id: str) -> JsonObject | None:
    """Return the lane in which a job waits, and the seconds until it is due."""
    pipeline = store.client.pipeline(transaction=False)
    for lane in JOB_LANES:
        pipeline.zscore(keys.lane(lane), job_id)
    for lane, due in zip(JOB_LANES, pipeline.execute(), strict=True):
        if due is not None:
            return {"lane": lane.value, "due_in_s": round(max(0.0, due - store.clock()), 1)}
    return None


def _recent_ids(store: Store) -> Iterator[list[str]]:
    known: set[str] = set()
    newest = "+"
    while True:
        batch: Any = store.client.xrevrange(keys.EVENTS, max=newest, count=BATCH)
        fresh = list(dict.fromkeys(fields["job"] for _, fields in batch if fields["job"] not in known))
        known.update(fresh)
        if fresh:
            yield fresh
        if len(batch) < BATCH:
            return
        newest = f"({batch[-1][0]}"


def _read(store: Store, stream: str, after: str, block_s: float) -> list[tuple[str, dict[str, str]]]:
    answer: Any = store.client.xread({stream: after}, block=max(1, int(block_s * 1000)))
    if isinstance(answer, dict):  # RESP3
        return [entry for batches in answer.values() for batch in batches for entry in batch]
    return [entry for _, entries in answer or () for entry in entries]


def _job_event(entry: str, fields: dict[str, str], job_id: str) -> JobEvent:
    data = json.loads(fields["data"]) if fields.get("data") else None
    return JobEvent(entry=entry, job_id=job_id, type=fields["type"], timestamp=fields["timestamp"], data=data)
