"""Publishes tick messages, continuations and task events over Celery."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError
from redis import RedisError

from worker.domain.job import Job, JobState, JsonObject
from worker.domain.lane import Lane
from worker.domain.outcome import Outcome, as_error
from worker.domain.times import epoch
from worker.queue.continuation import CONTINUED, task_id
from worker.queue.redaction import describe_outcome
from worker.queue.results import outcome_update, progress_update
from worker.store.lanes import Tick
from worker.store.records import ResultUpdate
from worker.telemetry.error_text import error_text
from worker.telemetry.logs import event
from worker.telemetry.shortage import is_shortage, resources
from worker.telemetry.trace_context import current_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

TICK_TASKS = {
    Lane.TRIGGERS: "photogpt.trigger",
    Lane.JOBS: "photogpt.poll",
    Lane.MODELS: "photogpt.poll",
    Lane.LIST_POLLS: "photogpt.poll",
    Lane.RESULTS: "photogpt.publish",
    Lane.DELIVERIES: "photogpt.deliver",
    Lane.REDELIVERIES: "photogpt.deliver",
    Lane.FILES: "photogpt.store_files",
}
"""The task that runs each lane."""

SEND_ERRORS = (OperationalError, RedisError, OSError, AttributeError)
"""What kombu raises while the broker is unavailable; AttributeError where it has closed the channel."""


def _report_unsent(error: Exception, message: str, **fields: Any) -> None:
    if is_shortage(error):
        resources.report(error)
    else:
        event("message.unsent", message, warn=True, **fields, error=error_text(error))


class CeleryPublisher:
    """Publishes over Celery. A message that cannot be sent is logged; the lane monitor sends a missing tick again."""

    def __init__(self, app: Celery, *, hide_prompts: bool = False) -> None:
        """Publish through `app`; with `hide_prompts`, task events leave prompts out."""
        self._app = app
        self._hide_prompts = hide_prompts
        #: Returns the event dispatcher of a running worker, or None. Celery makes a new one for each connection.
        self.event_dispatcher: Callable[[], Any] = lambda: None
        #: Runs a tick in this process; False if it has to be sent. A worker sets it when it starts.
        self.take_tick: Callable[[Tick], bool] = lambda _: False

    @cached_property
    def _backend(self) -> Any:
        """The result backend. Only its texts and keys are used; Celery makes one for each thread, 1 ms each."""
        return self._app.backend

    def start(self) -> None:
        """Load the result backend, whose modules take 11 ms, before a first job waits for it."""
        _ = self._backend

    def _queue_of(self, task: str) -> str:
        return str(self._app.conf.task_routes[task]["queue"])

    def publish_tick(self, tick: Tick) -> None:
        """Let a lane run: in this process if it runs lanes and the tick is due soon, otherwise by a message."""
        if not self.take_tick(tick):
            self.send_tick(tick)

    def send_tick(self, tick: Tick) -> None:
        """Send the message that makes any worker run a lane."""
        name = TICK_TASKS[tick.lane]
        args, queue = (tick.lane.value, tick.token), self._queue_of(name)
        try:
            self._app.send_task(name, args, queue=queue, countdown=tick.delay or None, ignore_result=True)
        except SEND_ERRORS as error:
            message = "cannot send a tick message; the lane monitor sends it again"
            _report_unsent(error, message, task=name, lane=tick.lane)

    def resend_task(self, continuation: JsonObject) -> None:
        """Send the producer's task again; it finds its job ended and returns the outcome."""
        options = dict(continuation["options"])
        traceparent = current_traceparent()
        trace = {"traceparent": traceparent} if traceparent else {}
        options["headers"] = {**(options.get("headers") or {}), **trace, CONTINUED: True}
        try:
            self._app.send_task(continuation["task"], queue=self._queue_of("photogpt.publish"), **options)
        except SEND_ERRORS as error:
            message = "cannot send a continuation; the results lane sends it again"
            _report_unsent(error, message, task=continuation["task"], job=options.get("task_id"))

    def progress(self, job: Job, state: JobState, generation_id: str | None) -> ResultUpdate:
        """Return the Celery result of a job that goes on."""
        return progress_update(self._backend, job, state, generation_id)

    def result(self, job: Job, outcome: Outcome) -> ResultUpdate:
        """Return the Celery result of a job that has ended."""
        return outcome_update(self._backend, job, outcome)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Send the task event of a job whose result was stored without a message, for Flower."""
        dispatcher = self.event_dispatcher()
        if dispatcher is None:
            return
        error = as_error(outcome)
        try:
            if error is None:
                shown = describe_outcome(outcome, hide_prompts=self._hide_prompts)
                runtime = epoch(outcome["finished_at"] or outcome["created_at"]) - job.created_at
                dispatcher.send("task-succeeded", uuid=task_id(job), result=shown, runtime=runtime)
            else:
                dispatcher.send("task-failed", uuid=task_id(job), exception=repr(error), traceback="")
        except SEND_ERRORS as unsent:
            event("flower.event_lost", "cannot send a task event to Flower", job=job.id, error=unsent)
