"""Every task of the service: its contract with producers.

    send_task ─▶ generate_image … ─▶ trigger ─▶ (scheduled in Redis) ─▶ poll ⟲ ─▶ publish: result, record, events
                                                                            └─▶ deliver ⟲ ─▶ webhook endpoint

A job waits in Redis, not in a worker. `job_strategy` accepts a new message of the first four tasks without running the
task. Its body runs when the job has ended and the task is sent again under the producer's id, so that the producer's
AsyncResult, chain, group, chord and callbacks work. The other tasks run as any Celery task does.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import Ignore, Reject
from redis import RedisError

from worker.domain.errors import JobError, SubmissionError, WebhookError, WorkerError
from worker.domain.job import JsonObject
from worker.domain.json_values import text_id
from worker.domain.lane import Lane
from worker.domain.outcome import Outcome
from worker.queue.acceptance import accept_message
from worker.queue.app import app, redis_outage, runner, services
from worker.queue.continuation import CONTINUED
from worker.queue.request import RedactedRequest
from worker.queue.strategy import job_strategy
from worker.steps import cancel as cancel_step
from worker.steps.publish import return_outcome
from worker.steps.redeliver import MAX_DELIVERIES, recover_since, resend
from worker.store.connection import is_unavailable
from worker.telemetry.logs import event

NOT_A_MESSAGE = (
    "starts a job only as a message with a task id of its own: send each request with send_task, delay, apply_async or "
    "in a group; map, starmap, chunks, apply and direct calls are refused"
)


class JobTask(Task):  # type: ignore[type-arg]  # in Celery 5.6 it takes no parameters
    """A task that starts a job. Its message is acknowledged once Redis has the job."""

    Strategy = staticmethod(job_strategy)  # type: ignore[assignment]  # the stubs know import paths only
    Request = RedactedRequest  # type: ignore[assignment]
    acks_late = True
    reject_on_worker_lost = True
    throws = (JobError,)  # a job that did not succeed is an outcome: no traceback in the log
    typing = False  # accept reports wrong arguments in the outcome

    def after_return(self, status: str, retval: Any, task_id: str, *_: Any) -> None:
        """Record that Celery has stored the result; otherwise the results lane sends the task again."""
        del status, retval
        try:
            services().store.jobs.mark_published(str(task_id))
        except RedisError as error:
            event("result.not_marked", "the result is stored, and Redis cannot record that", job=task_id, error=error)


@app.task(name="photogpt.generate_image", bind=True, base=JobTask)
def generate_image(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Generate images. `request` is the body of POST /images/generation."""
    return accept_or_return(self)


@app.task(name="photogpt.upscale_image", bind=True, base=JobTask)
def upscale_image(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Upscale an image. `request` is the body of POST /images/upscaling."""
    return accept_or_return(self)


@app.task(name="photogpt.generate_video", bind=True, base=JobTask)
def generate_video(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Generate videos. `request` is the body of POST /videos/generation."""
    return accept_or_return(self)


@app.task(name="photogpt.train_model", bind=True, base=JobTask)
def train_model(self: JobTask, *_: Any, **__: Any) -> Outcome:
    """Train a model. `request` is `{"modelID": …}`."""
    return accept_or_return(self)


@app.task(name="photogpt.cancel", acks_late=True, reject_on_worker_lost=True, throws=(WorkerError,))
def cancel(job_id: Any = None) -> Outcome:
    """Cancel a job: polling stops. PhotoGPT has no cancel, and the outcome's error says what is charged."""
    return cancel_step.cancel(services(), job_id)


@app.task(name="photogpt.resend_webhook", acks_late=True, throws=(WebhookError,))
def resend_webhook(webhook_id: Any = None) -> JsonObject:
    """Send a webhook again, delivered or not."""
    return resend(services().store, webhook_id)


@app.task(name="photogpt.recover_webhooks", throws=(WebhookError,))
def recover_webhooks(since_s: Any = 3600, endpoint: Any = None, limit: Any = MAX_DELIVERIES) -> JsonObject:
    """Send again the dead letters of the last `since_s` seconds and the deliveries that wait for a retry."""
    return recover_since(services().store, since_s, endpoint, limit)


@app.task(name="photogpt.trigger", ignore_result=True, send_events=False)
def trigger(lane: str, token: str) -> None:
    """Trigger the generations of queued jobs."""
    runner().run(Lane(lane), token)


@app.task(name="photogpt.poll", ignore_result=True, send_events=False)
def poll(lane: str, token: str) -> None:
    """Poll PhotoGPT: one job, one model, or a page of its list."""
    runner().run(Lane(lane), token)


@app.task(name="photogpt.publish", ignore_result=True, send_events=False)
def publish(lane: str, token: str) -> None:
    """Send continuations again whose results are not stored yet."""
    runner().run(Lane(lane), token)


@app.task(name="photogpt.deliver", ignore_result=True, send_events=False)
def deliver(lane: str, token: str) -> None:
    """Deliver webhooks."""
    runner().run(Lane(lane), token)


@app.task(name="photogpt.store_files", ignore_result=True, send_events=False)
def store_files(lane: str, token: str) -> None:
    """Download images and videos, and store them."""
    runner().run(Lane(lane), token)


for celery_task in (app.tasks[f"celery.{name}"] for name in ("map", "starmap", "chunks")):
    celery_task.Request = RedactedRequest  # type: ignore[assignment]  # their arguments are requests
    celery_task.throws = (WorkerError,)


def accept_or_return(task: JobTask) -> Outcome:
    """Return the outcome of a job that has ended, or raise what kept `JobRequest.accept` from accepting one.

    Raises:
        JobError: the job did not succeed.
        SubmissionError: the task was not sent as a message of its own.
        Ignore: the job goes on.
        Reject: Redis is unavailable; the message returns to its queue.
    """
    request = task.request
    if request.called_directly or request.is_eager or text_id(request.id) is None:
        raise SubmissionError(field="", problem=f"{task.name} {NOT_A_MESSAGE}")
    try:
        if request.get(CONTINUED):
            outcome = services().store.jobs.outcome(str(request.id))
        else:
            outcome = accept_message(task.name, request)
    except RedisError as error:
        if not is_unavailable(error):
            raise  # the job's record is unusable, however often the message comes
        redis_outage.report(error)
        raise Reject(error, requeue=True) from error
    if outcome is None:
        raise Ignore
    return return_outcome(outcome)
