"""Jobs and endings, valid by default, and values that are nested deeply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult, Outcome, outcome

CREATED = 1_800_000_000.0

REQUESTS: dict[Kind, dict[str, Any]] = {
    Kind.IMAGE: {"modelID": "nanobanana", "prompt": "a quiet harbour"},
    Kind.UPSCALE: {"imageID": "image_001"},
    Kind.VIDEO: {"modelID": "veo-3.1", "prompt": "a kite above a meadow"},
    Kind.TRAINING: {"modelID": "model_001"},
}


def make_job(kind: Kind = Kind.IMAGE, **changes: Any) -> Job:
    """Return a job that was just accepted."""
    usual: dict[str, Any] = {
        "id": "job-1",
        "kind": kind,
        "request": REQUESTS[kind],
        "created_at": CREATED,
        "deadline_at": CREATED + 3600,
    }
    return Job(**usual | changes)


def success(**changes: Any) -> JobResult:
    """Return a good end."""
    usual: dict[str, Any] = {"state": JobState.SUCCEEDED, "images": ({"id": "image-1", "url": "https://cdn/1.png"},)}
    return JobResult(**usual | changes)


def ended(job: Job, result: JobResult, *, at: float, polled: bool = False) -> Outcome:
    """Return the final outcome of a job, as the step that ends it computes it."""
    return outcome(replace(job, polls=job.polls + int(polled)), result, at=at)


def nested(depth: int) -> Any:
    """Return a list in a list, this many levels deep."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value
