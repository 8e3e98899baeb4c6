"""What several commands read about jobs, put together from functions of the store."""

from __future__ import annotations

import json

from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.store.codec import decode_outcome
from worker.store.fleet import FleetState
from worker.store.store import Store


def recent_outcomes(
    store: Store, *, limit: int, state: JobState | None = None, kind: Kind | None = None
) -> list[Outcome]:
    """Return up to `limit` outcomes, final or not, of the jobs with the newest events first."""
    found: list[Outcome] = []
    for ids in store.job_history.recent_job_ids():
        for outcome in store.job_history.outcomes(ids):
            if (state is None or outcome["state"] == state) and (kind is None or outcome["kind"] == kind):
                found.append(outcome)
                if len(found) == limit:
                    return found
    return found


def no_worker(fleet: FleetState) -> str | None:
    """Return a sentence if no worker runs, and which was killed or hangs; None if one runs."""
    if fleet.running_workers:
        return None
    last = ""
    if fleet.workers:
        name, age_s = min(fleet.workers.items(), key=lambda item: item[1])
        last = f" ({name} was seen last, {age_s:.0f} s ago)"
    return f"no worker runs{last}; start one with photogpt-worker worker"


def job_details(store: Store, job_id: str) -> JsonObject | None:
    """Return everything that is stored about a job, as `show --json` prints it; None if there is no record."""
    record = store.job_history.record(job_id)
    if not record:
        return None
    copied = (
        "not_before",
        "deadline_at",
        "tenant",
        "idempotency_key",
        "duplicate_of",
        "webhook_url",
        "published_at",
        "photogpt_status",
    )
    return {
        "outcome": decode_outcome(record),
        "request": json.loads(record["request"]),
        **{name: record.get(name) for name in copied},
        "attempts": int(record.get("attempts", 0)),
        "intent_open": "intent_at" in record,
        "files_problem": _files_problem(store, job_id),
        "next_step": _next_step(store, job_id),
        "queue_position": store.job_history.position(job_id),
        "events": [{"type": event.type, "timestamp": event.timestamp} for event in store.job_history.events(job_id)],
        "deliveries": store.delivery_history.of_job(job_id),
    }


def _files_problem(store: Store, job_id: str) -> str | None:
    """Return why the last attempt to store a job's files failed, or None."""
    known = store.files.read(job_id)
    return known.progress.error if known else None


def _next_step(store: Store, job_id: str) -> JsonObject | None:
    """Return the lane in which a job waits, and the seconds until it is due."""
    step = store.job_history.next_step(job_id)
    if step is None:
        return None
    lane, due_at = step
    return {"lane": lane.value, "due_in_s": round(max(0.0, due_at - store.clock()), 1)}
