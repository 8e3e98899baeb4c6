"""Every task of the service. Reading this file is reading the service.

    enqueue ─▶ generate_image … ─▶ trigger ─▶ (parked in Redis) ─▶ poll ⟲ ─▶ generate_image again: the result
                                                                      └─▶ deliver ⟲ ─▶ a receiver's endpoint

A job waits in the ledger, not in a worker. The task that the producer sent leaves with `Ignore` once its job is written
down; when the job has ended it is sent again under the same id, and returns the outcome: so the producer's own
AsyncResult, chain, group, chord and callbacks work. The four ticks look after a lane each and send themselves again.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import Ignore, Reject
from redis import RedisError

from worker.domain.errors import JobError, WebhookError, WorkerError
from worker.domain.job import TASKS, JsonObject
from worker.domain.outcome import Outcome
from worker.lanes.runner import tick
from worker.queue.app import app, redis_outage, services, settings
from worker.queue.publisher import CONTINUED, capture_continuation, describe, result_of
from worker.steps.accept import Envelope, submit
from worker.steps.cancel import cancel as cancel_job
from worker.steps.publish import deliver_result
from worker.steps.redeliver import MOST, recover_since, resend
from worker.store.connection import is_unavailable
from worker.store.keys import Lane
from worker.telemetry.logs import event

KINDS = {name: kind for kind, name in TASKS.items()}


class JobTask(Task[Any, Any]):
    """A task that producers send. Its message stays in the broker until the ledger has the job.

    `ResilientConsumer` lets `leaves` run before Celery's tracer: raising `Ignore` in there, which takes its picture of the
    stack twice, costs more than all the rest of accepting a job.
    """

    Request = "worker.queue.app:RedactedRequest"
    acks_late = True
    reject_on_worker_lost = True
    throws = (JobError,)  # a job that did not succeed is an outcome: no traceback in the log
    typing = False  # what is wrong with the arguments is for `submit` to say

    def leaves(self, request: Any) -> bool:
        """Write the job of a fresh message down; whether there is nothing to return yet, and so nothing left to do."""
        return not request.get(CONTINUED) and _outcome(self.name, request) is None

    def after_return(self, *told: Any) -> None:
        """Write down that Celery has stored the result. If that is lost, it is asked for again."""
        _status, _retval, task_id, *_ = told
        try:
            services().store.jobs.mark_published(task_id)
        except RedisError as error:
            event("result.not_marked", f"the result is stored, and Redis takes no note of it: {error}", job=task_id)


@app.task(name="photogpt.generate_image", bind=True, base=JobTask)
def generate_image(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Generate images. `request` is the body of POST /images/generation."""
    return _line(self)


@app.task(name="photogpt.upscale_image", bind=True, base=JobTask)
def upscale_image(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Make an image larger. `request` is the body of POST /images/upscaling."""
    return _line(self)


@app.task(name="photogpt.generate_video", bind=True, base=JobTask)
def generate_video(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Generate videos. `request` is the body of POST /videos/generation."""
    return _line(self)


@app.task(name="photogpt.train_model", bind=True, base=JobTask)
def train_model(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Train a model. `request` is `{"modelID": …}`."""
    return _line(self)


@app.task(name="photogpt.cancel", acks_late=True, reject_on_worker_lost=True, throws=(WorkerError,))
def cancel(job_id: Any = None) -> Outcome:
    """Stop looking at a job. PhotoGPT has no cancel; the outcome says what that means for the money."""
    return cancel_job(services(), job_id)


@app.task(name="photogpt.resend_webhook", acks_late=True, throws=(WebhookError,))
def resend_webhook(webhook_id: Any = None) -> JsonObject:
    """Send a webhook once more, whatever became of it."""
    return resend(services().store, webhook_id)


@app.task(name="photogpt.recover_webhooks", throws=(WebhookError,))
def recover_webhooks(since_s: Any = 3600, endpoint: Any = None, limit: Any = MOST) -> JsonObject:
    """Send once more what was given up in the last `since_s` seconds, and what failed and waits."""
    return recover_since(services().store, since_s, endpoint, limit)


@app.task(name="photogpt.trigger", ignore_result=True, send_events=False)
def trigger(lane: str, token: str) -> None:
    """Ask PhotoGPT to start what waits for it."""
    tick(services(), Lane(lane), token)


@app.task(name="photogpt.poll", ignore_result=True, send_events=False)
def poll(lane: str, token: str) -> None:
    """Look at what PhotoGPT works on."""
    tick(services(), Lane(lane), token)


@app.task(name="photogpt.publish", ignore_result=True, send_events=False)
def complete(lane: str, token: str) -> None:
    """See to results that should be stored by now, and are not."""
    tick(services(), Lane(lane), token)


@app.task(name="photogpt.deliver", ignore_result=True, send_events=False)
def deliver(lane: str, token: str) -> None:
    """Deliver webhooks."""
    tick(services(), Lane(lane), token)


def _line(task: JobTask) -> Outcome:
    """Write the job down and leave, or return its outcome if it has ended."""
    try:
        outcome = _outcome(task.name, task.request)
    except RedisError as error:
        if not is_unavailable(error):
            raise  # its record cannot be used, however often the message comes
        redis_outage.report(error)  # the message goes back, and comes again
        raise Reject(error, requeue=True) from error
    if outcome is None:
        raise Ignore
    return deliver_result(outcome)


def _outcome(name: str, request: Any) -> Outcome | None:
    """Return the outcome that a message is there for, or write its job down, which has none yet."""
    if request.get(CONTINUED):
        return services().store.jobs.outcome(str(request.id))
    result = result_of(request)
    described = describe(request.kwargs, hide_prompts=settings.hide_prompts) if result is None else ""
    envelope = Envelope(
        id=str(request.id),
        kind=KINDS[name],
        args=list(request.args),
        kwargs=request.kwargs,
        continuation=capture_continuation(request, name, described) if result is None else "",
        result=result,
        redelivered=bool((request.delivery_info or {}).get("redelivered")),
    )
    return submit(services(), envelope)
