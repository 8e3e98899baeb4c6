"""What Celery's result backend holds of a job, as Celery's own tracer would store it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery.states import FAILURE, SUCCESS

from worker.domain.job import Job, JobState
from worker.domain.outcome import Outcome, as_error
from worker.queue.continuation import task_id
from worker.store.codec import dumps
from worker.store.records import NO_UPDATE, ResultUpdate


def progress_update(backend: Any, job: Job, state: JobState, generation_id: str | None) -> ResultUpdate:
    """Return the result of a job that goes on: `AsyncResult.state` and `.info` show its state.

    Args:
        backend: Celery's result backend.
        job: as it was read.
        state: the state to show.
        generation_id: PhotoGPT's id, once it is known.
    """
    status = state.value.upper()
    info = {
        "state": state.value,
        "kind": job.kind.value,
        "generation_id": generation_id,
        "model_id": job.model_id,
    }
    update = _update(backend, job, status, info)
    return replace(update, kept=dumps({"status": status, "result": info}))


def outcome_update(backend: Any, job: Job, outcome: Outcome) -> ResultUpdate:
    """Return the result of a job that has ended: `AsyncResult.get()` returns its outcome, or raises."""
    error = as_error(outcome)
    done_at = datetime.now(UTC).isoformat()
    if error is None:
        return _update(backend, job, SUCCESS, outcome, done_at=done_at)
    return _update(backend, job, FAILURE, backend.prepare_exception(error), done_at=done_at)


def _update(backend: Any, job: Job, status: str, result: Any, *, done_at: str | None = None) -> ResultUpdate:
    if job.result_meta is not None and job.result_meta.get("ignored"):
        return NO_UPDATE
    meta = {
        "status": status,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": done_at,
        "task_id": task_id(job),
        **{name: value for name, value in (job.result_meta or {}).items() if name in {"group_id", "parent_id"}},
    }
    key = backend.get_key_for_task(job.id).decode()
    return ResultUpdate(key=key, ttl=int(backend.expires), text=str(backend.encode(meta)))
