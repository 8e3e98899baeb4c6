"""Continuation: the producer's own task, sent again once its job has ended, so that Celery stores the result.

Celery then runs what the canvas attached to the task: chain, group, chord, callbacks.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from worker.domain.job import TASKS, Job, JsonObject
from worker.domain.json_values import text_id
from worker.queue.serialization import dumps, loads

CONTINUED = "photogpt_continued"
"""Header of a continuation: the job has ended, the task returns its outcome."""

KEPT_OPTIONS = (
    "task_id",
    "root_id",
    "parent_id",
    "group_id",
    "group_index",
    "chord",
    "chain",
    "link",
    "link_error",
    "reply_to",
    "replaced_task_nesting",
    "shadow",
)
"""Options of the producer's message that a continuation keeps. `expires` and time limits applied to the wait only."""


def result_fields(request: Any) -> JsonObject | None:
    """Return what the stored result of a task keeps of its message, or None if it is part of a canvas or stamped.

    Without a canvas, the script that ends the job stores the result, and no continuation is sent.

    Args:
        request: Celery's context of the task.

    Returns:
        `group_id` and `parent_id` where they are set; `{"ignored": True}` where the producer wants no result; and
        `{"uuid": True}` where the task id is a UUID, since its producer waits for a result under a UUID.
    """
    if any((request.chord, request.chain, request.callbacks, request.errbacks, request.stamped_headers)):
        return None
    if request.ignore_result:
        return {"ignored": True}
    fields = {
        "group_id": text_id(request.group),
        "parent_id": text_id(request.parent_id),
        "uuid": isinstance(request.id, UUID),
    }
    return {name: value for name, value in fields.items() if value}


def task_id(job: Job) -> str | UUID:
    """Return a job's id as Celery knows it."""
    return UUID(job.id) if (job.result_meta or {}).get("uuid") else job.id


def capture_continuation(request: Any, task: str, arguments: str) -> str:
    """Return how to send a task again once its job has ended, as Celery's JSON: the tasks after it keep their types.

    Args:
        request: Celery's context of the task.
        task: the task's name.
        arguments: a description of its arguments that may be shown.

    Raises:
        ValueError, TypeError, RecursionError: the message holds a value that JSON cannot hold.
    """
    options = request.as_execution_options()
    names = (*KEPT_OPTIONS, "stamped_headers", *(options.get("stamped_headers") or ()))
    kept = {name: options[name] for name in names if options.get(name) is not None}
    if request.chord:
        kept["task_id"] = str(request.id)  # Celery counts the tasks of a chord by ids that are text
    headers = {name: value for name, value in (request.headers or {}).items() if name != CONTINUED}
    if headers:
        kept["headers"] = headers
    if request.ignore_result:
        kept["ignore_result"] = True
    return dumps({"task": task, "options": kept | {"argsrepr": "()", "kwargsrepr": arguments}})


def read_continuation(text: str) -> JsonObject:
    """Return a continuation that `capture_continuation` has written."""
    continuation: JsonObject = loads(text)
    return continuation


def stamps(continuation: JsonObject) -> dict[str, Any]:
    """Return the stamps of the producer's message, by header."""
    options = continuation["options"]
    return {name: options.get(name) for name in options.get("stamped_headers") or ()}


def default_continuation(job: Job) -> JsonObject:
    """Return the continuation of a job that is not part of a canvas; its record does not hold one."""
    fields = dict(job.result_meta or {})
    fields.pop("uuid", None)
    ignored = {"ignore_result": True} if fields.pop("ignored", False) else {}
    return {"task": TASKS[job.kind], "options": {"task_id": task_id(job), "root_id": job.id, **fields, **ignored}}
