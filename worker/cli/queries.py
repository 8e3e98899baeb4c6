"""What commands read from the ledger besides what the service itself reads."""

from __future__ import annotations

import json
from collections.abc import Iterable

from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.store.codec import decode_outcome
from worker.store.connection import Store
from worker.store.job_history import JobEvent as Seen


def events_of(store: Store, job_id: str) -> list[Seen]:
    """Return every event of a job, oldest first."""
    return store.job_history.events(job_id)


def next_events(store: Store, job_id: str, *, after: str, block_s: float) -> list[Seen]:
    """Wait up to `block_s` for what happens to a job after an entry. From 0-0 on, nothing can be missed."""
    return store.job_history.wait_for_job_events(job_id, after=after, block_s=block_s)


def next_events_of_all(store: Store, *, after: str, block_s: float) -> list[Seen]:
    """Wait up to `block_s` for what happens to any job after an entry. What happens to an endpoint is left out."""
    return store.job_history.wait_for_events(after=after, block_s=block_s)


def last_entry(store: Store) -> str:
    """Return the newest entry of the service-wide stream: where to follow it from now on."""
    return store.job_history.newest_entry()


def recent(store: Store, *, limit: int, state: JobState | None = None, kind: Kind | None = None) -> list[Outcome]:
    """Return the outcomes, so far or final, of the jobs to which something happened last, newest first."""
    found: list[Outcome] = []
    for ids in store.job_history.recent_job_ids():
        for outcome in outcomes(store, ids):
            if (state is None or outcome["state"] == state) and (kind is None or outcome["kind"] == kind):
                found.append(outcome)
                if len(found) == limit:
                    return found
    return found


def outcomes(store: Store, ids: Iterable[str]) -> list[Outcome]:
    """Return the outcomes of jobs in the given order, without those whose record is gone."""
    return store.job_history.outcomes(ids)


def record(store: Store, job_id: str) -> JsonObject | None:
    """Return all that is known of a job, as `show` tells it; None if it is not known."""
    fields = store.job_history.record(job_id)
    if not fields:
        return None
    kept = ("deadline_at", "attempts", "tenant", "idempotency_key", "duplicate_of", "webhook_url", "published_at")
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
    """Name the lane in which a job waits, and the seconds until it is due."""
    found = store.job_history.next_step(job_id)
    if found is None:
        return None
    lane, due_at = found
    return {"lane": lane.value, "due_in_s": round(max(0.0, due_at - store.clock()), 1)}
