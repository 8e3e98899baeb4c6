"""A delivery: one webhook event to one endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from worker.domain.job import SEQUENCE, Job, JobState, JsonObject, Kind
from worker.domain.times import rfc3339

SCHEDULE_S = (5, 60, 300, 1800, 7200, 18_000, 18_000, 21_600, 21_600)
"""Seconds before the second attempt, the third, and so on: ten attempts over about a day."""

SCHEMA = 1
"""Of the body. A field that is added leaves it as it is; one that goes or changes its meaning makes it 2."""

OUTPUTS = ("images", "videos")
"""What a thin body, or one that would be too large, goes without."""


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
    #: Attempts that somebody asked for; they use up no step of the schedule.
    manual: int = 0
    #: Steps that passed while nothing could be sent to the endpoint.
    skipped: int = 0

    @property
    def steps(self) -> int:
        """How many steps of the schedule are used up."""
        return self.attempts - self.manual + self.skipped


@dataclass(frozen=True, kw_only=True, slots=True)
class Bodies:
    """What the settings say about bodies."""

    thin: bool = False
    max_bytes: int = 20_000
    #: Where the whole outcome can be read, with `{id}`.
    outcome_url: str | None = None
    #: The key of the record in Redis, with `{id}`.
    outcome_key: str = "{id}"


FULL = Bodies()


def event_type(job: Job, state: JobState) -> str:
    """Name an event: `job.<state>`, or `model.<state>` for a training."""
    return f"{'model' if job.kind is Kind.TRAINING else 'job'}.{state.value}"


def plan(job: Job, state: JobState, data: Mapping[str, Any], *, at: float, bodies: Bodies = FULL) -> list[Delivery]:
    """Return the webhooks that an event of this job calls for.

    Args:
        job: whose event it is.
        state: what it entered.
        data: the outcome, so far or final.
        at: epoch seconds of the event.
        bodies: how they are written.
    """
    name = event_type(job, state)
    wanted = name in job.webhook_events if job.webhook_events else state.terminal
    if job.webhook_url is None or not wanted:
        return []
    digest = hashlib.sha256(f"{job.id}\n{name}\n{job.webhook_url}".encode()).hexdigest()
    head = {"type": name, "timestamp": rfc3339(at), "schema": SCHEMA, "sequence": SEQUENCE[state]}
    return [
        Delivery(
            id=f"msg_{digest[:32]}",
            type=name,
            url=job.webhook_url,
            body=_body(head, data, job.id, bodies),
            job_id=job.id,
        )
    ]


def _body(head: JsonObject, data: Mapping[str, Any], job_id: str, bodies: Bodies) -> str:
    """Write a body, without the outputs if it shall be thin or would be too large; then it says where they are."""
    whole = _written(head | {"truncated": False, "outcome_url": None, "outcome_key": None, "data": data})
    too_large = len(whole.encode("utf-8", "replace")) > bodies.max_bytes
    if not (bodies.thin or too_large):
        return whole
    place = {
        "truncated": too_large and not bodies.thin,
        "outcome_url": bodies.outcome_url.replace("{id}", quote(job_id, safe="")) if bodies.outcome_url else None,
        "outcome_key": bodies.outcome_key.replace("{id}", job_id, 1),
    }
    return _written(head | place | {"data": {name: value for name, value in data.items() if name not in OUTPUTS}})


def _written(body: JsonObject) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)
