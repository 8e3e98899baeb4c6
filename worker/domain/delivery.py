"""A delivery: one webhook event for one endpoint, and the body that is signed and sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from worker.domain.files import FILES_SEQUENCE
from worker.domain.job import SEQUENCE, Job, JobState, JsonObject, Kind
from worker.domain.times import rfc3339

SCHEDULE_S = (5, 60, 300, 1800, 7200, 18_000, 18_000, 21_600, 21_600)
"""Seconds before the second attempt, the third, and so on: ten attempts over about a day."""

SCHEMA = 1
"""Version of the body. A new field does not change it; a field that is removed or changes its meaning does."""

OUTPUTS = ("images", "videos", "files")
"""Left out of a thin body, and of one that would be too large."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One webhook as Redis stores it."""

    #: The `webhook-id` header: the same for every attempt, so receivers use it as idempotency key.
    id: str
    type: str
    url: str
    #: The text that is signed and sent.
    body: str
    job_id: str
    #: The span under which its attempts begin, in W3C's form; None without a trace.
    traceparent: str | None = None
    #: When it was planned, epoch seconds.
    created_at: float = 0
    state: str = "pending"
    attempts: int = 0
    #: Attempts on request; they use no step of the schedule.
    manual: int = 0
    #: Steps that passed while the endpoint's circuit was open.
    skipped: int = 0

    @property
    def steps(self) -> int:
        """Number of used steps of the schedule."""
        return self.attempts - self.manual + self.skipped


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyOptions:
    """How bodies are written."""

    thin: bool = False
    max_bytes: int = 20_000
    #: URL of the whole outcome, with `{id}`.
    outcome_url: str | None = None
    #: Redis key of the record, with `{id}`.
    outcome_key: str = "{id}"


FULL = BodyOptions()


def event_type(job: Job, state: JobState) -> str:
    """Return the type of an event: `job.<state>`, or `model.<state>` for a training."""
    return f"{'model' if job.kind is Kind.TRAINING else 'job'}.{state.value}"


def plan(job: Job, state: JobState, data: Mapping[str, Any], *, at: float, body: BodyOptions = FULL) -> list[Delivery]:
    """Return the deliveries for an event of a job: none, or one.

    Args:
        job: as it was before the event.
        state: that the job enters.
        data: the outcome.
        at: time of the event, epoch seconds.
        body: how the body is written.
    """
    name = event_type(job, state)
    wanted = name in job.webhook_events if job.webhook_events else state.terminal
    return _planned(job, name, SEQUENCE[state], data, at=at, body=body) if wanted else []


def plan_for_files(job: Job, name: str, data: Mapping[str, Any], *, at: float, body: BodyOptions) -> list[Delivery]:
    """Return the deliveries for one of `FILE_EVENTS`: none, or one. The arguments are those of `plan`."""
    wanted = name in job.webhook_events if job.webhook_events else True
    return _planned(job, name, FILES_SEQUENCE, data, at=at, body=body) if wanted else []


def _planned(  # noqa: PLR0913 - what a webhook is made of
    job: Job, name: str, sequence: int, data: Mapping[str, Any], *, at: float, body: BodyOptions
) -> list[Delivery]:
    if job.webhook_url is None:
        return []
    digest = hashlib.sha256(f"{job.id}\n{name}\n{job.webhook_url}".encode()).hexdigest()
    head = {"type": name, "timestamp": rfc3339(at), "schema": SCHEMA, "sequence": sequence}
    return [
        Delivery(
            id=f"msg_{digest[:32]}",
            type=name,
            url=job.webhook_url,
            body=_body(head, data, job.id, body),
            job_id=job.id,
            traceparent=job.traceparent,
            created_at=at,
        )
    ]


def _body(head: JsonObject, data: Mapping[str, Any], job_id: str, options: BodyOptions) -> str:
    """Return a body. A thin one, and one that would be too large, names the place of the outputs instead."""
    whole = _dump(head | {"truncated": False, "outcome_url": None, "outcome_key": None, "data": data})
    too_large = len(whole.encode("utf-8", "replace")) > options.max_bytes
    if not (options.thin or too_large):
        return whole
    place = {
        "truncated": too_large and not options.thin,
        "outcome_url": options.outcome_url.replace("{id}", quote(job_id, safe="")) if options.outcome_url else None,
        "outcome_key": options.outcome_key.replace("{id}", job_id, 1),
    }
    return _dump(head | place | {"data": {name: value for name, value in data.items() if name not in OUTPUTS}})


def _dump(body: JsonObject) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)
