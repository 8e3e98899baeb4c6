"""What commands read from the ledger besides what the service itself reads."""

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
START = "0-0"


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of a stream."""

    #: Where to read on.
    entry: str
    job_id: str
    type: str
    timestamp: str
    data: JsonObject | None

    @property
    def state(self) -> JobState:
        """The state that the job entered."""
        return JobState(self.type.rpartition(".")[2])


def events_of(store: Store, job_id: str) -> list[Seen]:
    """Return all that happened to a job, oldest first."""
    found: Any = store.client.xrange(keys.events(job_id))
    return [_seen(entry, fields, job_id) for entry, fields in found]


def next_events(store: Store, job_id: str, *, after: str, block_s: float) -> list[Seen]:
    """Wait up to `block_s` for what happens to a job after an entry. From 0-0 on, nothing can be missed."""
    return [_seen(entry, fields, job_id) for entry, fields in _read(store, keys.events(job_id), after, block_s)]


def next_events_of_all(store: Store, *, after: str, block_s: float) -> list[Seen]:
    """Wait up to `block_s` for what happens to any job after an entry. What happens to an endpoint is left out."""
    read = _read(store, keys.EVENTS, after, block_s)
    return [_seen(entry, fields, fields["job"]) for entry, fields in read if fields["sequence"] != "0"]


def last_entry(store: Store) -> str:
    """Return the newest entry of the service-wide stream: where to follow it from now on."""
    newest: Any = store.client.xrevrange(keys.EVENTS, count=1)
    return str(newest[0][0]) if newest else START


def recent(store: Store, *, limit: int, state: JobState | None = None, kind: Kind | None = None) -> list[Outcome]:
    """Return the outcomes, so far or final, of the jobs to which something happened last, newest first."""
    found: list[Outcome] = []
    for ids in _recent_ids(store):
        for outcome in outcomes(store, ids):
            if (state is None or outcome["state"] == state) and (kind is None or outcome["kind"] == kind):
                found.append(outcome)
                if len(found) == limit:
                    return found
    return found


def outcomes(store: Store, ids: Iterable[str]) -> list[Outcome]:
    """Return the outcomes of jobs in the given order, without those whose record is gone."""
    pipeline = store.client.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hgetall(keys.job(job_id))
    return [decode_outcome(record) for record in pipeline.execute() if record]


def record(store: Store, job_id: str) -> JsonObject | None:
    """Return all that is known of a job, as `show` tells it; None if it is not known."""
    fields: Any = store.client.hgetall(keys.job(job_id))
    if not fields:
        return None
    kept = ("deadline_at", "attempts", "tenant", "idempotency_key", "follows", "webhook_url", "published_at")
    return {
        "outcome": decode_outcome(fields),
        "request": json.loads(fields["request"]),
        **{name: fields.get(name) for name in kept},
        "attempts": int(fields.get("attempts", 0)),
        "intent_open": "intent_at" in fields,
        "waits_in": _waits_in(store, job_id),
        "queue_position": store.jobs.position(job_id),
        "events": [{"type": seen.type, "timestamp": seen.timestamp} for seen in events_of(store, job_id)],
        "deliveries": store.deliveries.of_job(job_id),
    }


def _waits_in(store: Store, job_id: str) -> JsonObject | None:
    """Name the lane in which a job waits, and the seconds until it is looked after."""
    lanes = (Lane.TRIGGERS, Lane.JOBS, Lane.MODELS, Lane.RESULTS)
    pipeline = store.client.pipeline(transaction=False)
    for lane in lanes:
        pipeline.zscore(keys.lane(lane), job_id)
    for lane, due in zip(lanes, pipeline.execute(), strict=True):
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


def _seen(entry: str, fields: dict[str, str], job_id: str) -> Seen:
    data = json.loads(fields["data"]) if fields.get("data") else None
    return Seen(entry=entry, job_id=job_id, type=fields["type"], timestamp=fields["timestamp"], data=data)
