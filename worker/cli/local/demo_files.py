"""The pictures and videos that the workers of the demo stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.cli.local.demo_jobs import Run
from worker.domain.outcome import Outcome


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file in the demo's folder."""

    title: str
    """The title of its plan."""
    kind: str
    job_id: str
    generation_id: str
    """The job's id at PhotoGPT, which the sandbox writes into its pictures."""
    prompt: str
    name: str
    """Its name in the folder."""
    content_type: str
    size: int
    """Bytes."""


def files_of(run: Run) -> list[SavedFile]:
    """Return every file of a run."""
    return [
        SavedFile(
            title=run.plan.title,
            kind=outcome["kind"],
            job_id=outcome["id"],
            generation_id=outcome["generation_id"] or "",
            prompt=str(_request(run, outcome).get("prompt", "")),
            name=file["key"],
            content_type=file["content_type"],
            size=file["bytes"],
        )
        for outcome in run.outcomes
        for file in outcome["files"]
    ]


def errors_of(run: Run) -> list[str]:
    """Return why files of a run were not stored."""
    return [outcome["files_error"] for outcome in run.outcomes if outcome["files_error"]]


def _request(run: Run, outcome: Outcome) -> dict[str, Any]:
    return run.plan.steps[run.ids.index(outcome["id"])][1]
