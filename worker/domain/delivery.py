"""A delivery: one webhook event to one endpoint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from worker.domain.job import SEQUENCE, Job, JobState, Kind, rfc3339, type_json

SCHEDULE_S = (5, 300, 1800, 7200, 18_000, 21_600, 21_600, 21_600)
"""Seconds before the second attempt, the third, and so on: nine attempts over about 26 hours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What the ledger holds of one webhook."""

    #: The `webhook-id`: the same for every attempt, the receiver's idempotency key.
    id: str
    type: str
    url: str
    #: The very text that is signed and sent.
    body: str
    job_id: str
    state: str = "pending"
    attempts: int = 0


def event_type(job: Job, state: JobState) -> str:
    """Name an event: `job.<state>`, or `model.<state>` for a training."""
    return f"{'model' if job.kind is Kind.TRAINING else 'job'}.{state.value}"


def plan(job: Job, state: JobState, data: type_json, *, at: float) -> list[Delivery]:
    """Return the webhooks that an event of this job calls for.

    Args:
        job: whose event it is.
        state: what it entered.
        data: the outcome, so far or final.
        at: epoch seconds of the event.
    """
    name = event_type(job, state)
    wanted = name in job.webhook_events if job.webhook_events else state.terminal
    if job.webhook_url is None or not wanted:
        return []
    body = {"type": name, "timestamp": rfc3339(at), "sequence": SEQUENCE[state], "data": data}
    digest = hashlib.sha256(f"{job.id}\n{name}\n{job.webhook_url}".encode()).hexdigest()
    return [
        Delivery(
            id=f"msg_{digest[:32]}",
            type=name,
            url=job.webhook_url,
            body=json.dumps(body, separators=(",", ":"), ensure_ascii=False),
            job_id=job.id,
        )
    ]
