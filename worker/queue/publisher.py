"""What goes over the queue: wake-ups, and continuations under the producers' own task ids."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celery.states import FAILURE, SUCCESS
from kombu.exceptions import OperationalError
from redis import RedisError

from config.celery import RESULTS, ROUTES
from worker.domain.job import TASKS, Job, JobState, JsonObject
from worker.domain.outcome import Outcome, as_error
from worker.domain.text import truncate
from worker.domain.times import epoch
from worker.store.codec import dumps
from worker.store.keys import Lane
from worker.store.lanes import Tick
from worker.store.records import NO_UPDATE, ResultUpdate
from worker.telemetry.logs import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

TICKS = {
    Lane.TRIGGERS: "photogpt.trigger",
    Lane.JOBS: "photogpt.poll",
    Lane.MODELS: "photogpt.poll",
    Lane.LIST_POLLS: "photogpt.poll",
    Lane.RESULTS: "photogpt.publish",
    Lane.DELIVERIES: "photogpt.deliver",
    Lane.REDELIVERIES: "photogpt.deliver",
}
"""The task that ticks each lane."""

CONTINUED = "photogpt_resumed"
"""Header of a continuation: its job has ended, return the outcome."""

KEPT = (
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
"""What of a message's options a continuation carries. `expires` and time limits were for the wait, which is over."""

DEEPEST = 5  # levels of arguments that people are shown
MAX_RESULT = 1024  # characters of an outcome in Celery's events, as Celery's own tracer would show

SEND_ERRORS = (OperationalError, RedisError, OSError, AttributeError)
"""What sending raises while the broker is away; the last one, where kombu has taken a channel apart."""


class CeleryPublisher:
    """The queue, through Celery. A message that cannot be sent is logged; whoever watches finds it missing."""

    def __init__(self, app: Celery, *, hide_prompts: bool = False) -> None:
        """Send through this app; where prompts are hidden, events leave out PhotoGPT's records, which may hold one."""
        self._app = app
        self._hide_prompts = hide_prompts
        #: Celery's event dispatcher in a worker that runs, for Flower; it changes with every connection.
        self.dispatcher: Callable[[], Any] = lambda: None

    def publish_tick(self, tick: Tick) -> None:
        """Send a tick message."""
        try:
            name = TICKS[tick.lane]
            args = (tick.lane.value, tick.token)
            self._app.send_task(name, args, queue=ROUTES[name], countdown=tick.delay or None, ignore_result=True)
        except SEND_ERRORS as error:
            event(
                "message.unsent",
                f"the broker is away: {error}; a worker sends it again",
                lane=tick.lane,
                warn=True,
            )

    def resend_task(self, continuation: JsonObject) -> None:
        """Send the producer's own task once more; it finds its job ended and returns the outcome."""
        options = dict(continuation["options"])
        options["headers"] = {**(options.get("headers") or {}), CONTINUED: True}
        try:
            self._app.send_task(continuation["task"], queue=RESULTS, **options)
        except SEND_ERRORS as error:
            event("message.unsent", f"the broker is away: {error}; a worker sends it again", warn=True)

    def progress(self, job: Job, state: JobState, generation_id: str | None) -> ResultUpdate:
        """Return the custom state by which `AsyncResult.state` and `.info` tell how far a job is."""
        info = {
            "state": state.value,
            "kind": job.kind.value,
            "generation_id": generation_id,
            "model_id": job.model_id,
        }
        status = state.value.upper()
        return replace(self._told(job, status, info), kept=dumps({"status": status, "result": info}))

    def result(self, job: Job, outcome: Outcome) -> ResultUpdate:
        """Return what Celery's backend shall hold of a job that has ended, as Celery's own tracer would store it."""
        error = as_error(outcome)
        if error is None:
            return self._told(job, SUCCESS, outcome, ended=True)
        return self._told(job, FAILURE, self._app.backend.prepare_exception(error), ended=True)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Tell Flower that the task has ended whose result was stored without a message."""
        dispatcher = self.dispatcher()
        if dispatcher is None:
            return
        error = as_error(outcome)
        runtime = epoch(outcome["finished_at"] or outcome["created_at"]) - job.created_at
        try:
            if error is None:
                told = _shown("", outcome, hide_prompts=True) if self._hide_prompts else outcome
                shown = truncate(repr(told), MAX_RESULT)
                dispatcher.send("task-succeeded", uuid=job.id, result=shown, runtime=runtime)
            else:
                dispatcher.send("task-failed", uuid=job.id, exception=repr(error), traceback="")
        except SEND_ERRORS as lost:
            event("flower.event_lost", f"the broker is away: {lost}; Flower does not learn of it", job=job.id)

    def _told(self, job: Job, state: str, result: Any, *, ended: bool = False) -> ResultUpdate:
        if job.result is not None and job.result.get("ignored"):
            return NO_UPDATE
        backend: Any = self._app.backend
        meta = {
            "status": state,
            "result": result,
            "traceback": None,
            "children": [],
            "date_done": datetime.now(UTC).isoformat() if ended else None,
            "task_id": job.id,
            **(job.result or {}),
        }
        return ResultUpdate(
            key=backend.get_key_for_task(job.id).decode(), ttl=int(backend.expires), text=str(backend.encode(meta))
        )


def result_of(request: Any) -> JsonObject | None:
    """Return what else stands in the result of a message on which no canvas hangs, or None if one does.

    Celery keeps a task's group and parent with its result; `ignored` says that nobody wants it.

    Args:
        request: Celery's context of the running task.
    """
    if any((request.chord, request.chain, request.callbacks, request.errbacks)):
        return None
    if request.ignore_result:
        return {"ignored": True}
    found = {"group_id": request.group, "parent_id": request.parent_id}
    return {name: value for name, value in found.items() if value}


def capture_continuation(request: Any, task: str, described: str) -> str:
    """Return the continuation of a message as JSON: how to send it again once the job has ended.

    Args:
        request: Celery's context of the running task.
        task: its name.
        described: its arguments as people may see them.
    """
    options = request.as_execution_options()
    kept = {name: options[name] for name in KEPT if options.get(name) is not None}
    custom = {name: value for name, value in (request.headers or {}).items() if name != CONTINUED}
    if custom:
        kept["headers"] = custom
    if request.ignore_result:
        kept["ignore_result"] = True
    return dumps({"task": task, "options": kept | {"argsrepr": "()", "kwargsrepr": described}})


def default_continuation(job: Job) -> JsonObject:
    """Return the continuation of a job on whose task no canvas hangs; its record does not hold one."""
    told = dict(job.result or {})
    wanted = {"ignore_result": True} if told.pop("ignored", False) else {}
    return {"task": TASKS[job.kind], "options": {"task_id": job.id, "root_id": job.id, **told, **wanted}}


def describe(kwargs: Any, *, hide_prompts: bool) -> str:
    """Return a task's arguments as Flower and logs may show them: no URL with a path, and no prompt where configured.

    Args:
        kwargs: as they came; may be anything.
        hide_prompts: show a prompt's length only.
    """
    if not isinstance(kwargs, dict):
        return "(unreadable)"
    shown = {name: _shown(str(name), value, hide_prompts=hide_prompts) for name, value in kwargs.items()}
    if isinstance(shown.get("webhook_url"), str):
        shown["webhook_url"] = _host_only(shown["webhook_url"])
    return truncate(repr(shown), 600)


def _host_only(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{parts.hostname}/…"


def _shown(name: str, value: Any, *, hide_prompts: bool, depth: int = 0) -> Any:
    """Cut what is long, and hide what is called a prompt, or stands where one may be."""
    if hide_prompts and "prompt" in name.lower():
        return f"({len(value)} characters)" if isinstance(value, str) else "(hidden)"
    if isinstance(value, dict):
        if depth == DEEPEST:
            return "{…}"
        return {key: _shown(str(key), item, hide_prompts=hide_prompts, depth=depth + 1) for key, item in value.items()}
    if hide_prompts and name == "request":
        return "(unreadable)"
    if isinstance(value, str) and name != "webhook_url":
        return truncate(value, 80)
    return "[…]" if isinstance(value, list) and name != "webhook_events" else value
