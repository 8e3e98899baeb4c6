"""What a message of a job task says, as an envelope for the step `accept`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.utils.time import maybe_iso8601, maybe_make_aware

from worker.domain.job import TASKS, JobState, JsonObject
from worker.domain.json_values import text_id
from worker.domain.outcome import Outcome
from worker.queue.app import services, settings
from worker.queue.continuation import capture_continuation, result_fields
from worker.queue.redaction import describe_arguments
from worker.queue.rejected import handlers
from worker.queue.serialization import loads
from worker.steps.accept import Envelope, accept, end_unaccepted
from worker.steps.publish import send_continuation
from worker.telemetry import traces
from worker.telemetry.spans import Span, SpanKind
from worker.telemetry.trace_context import in_trace, read_traceparent

KINDS = {name: kind for kind, name in TASKS.items()}


def accept_message(task: str, context: Any, *, problem: str = "") -> Outcome | None:
    """Accept the job of a message; return its outcome if there is nothing to wait for.

    Args:
        task: name of the task.
        context: Celery's context of the message.
        problem: why the message cannot be used; '' if it can.

    Raises:
        redis.RedisError: Redis is unavailable, or the job's record is unusable.
    """
    with _processing(task, context) as span:
        return accept(services(), envelope_of(task, context, problem, span.traceparent))


def end_dropped_message(task: str, context: Any, state: JobState, *, problem: str = "") -> bool:
    """End the job of a message that was revoked or has expired; False if the job was accepted before.

    Raises:
        redis.RedisError: Redis is unavailable, or the job's record is unusable.
    """
    with _processing(task, context) as span:
        return end_unaccepted(services(), envelope_of(task, context, problem, span.traceparent), state)


@contextmanager
def _processing(task: str, context: Any) -> Iterator[Span]:
    """Run the span of a message, under the span in which its producer sent it."""
    attributes = {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.message.id": str(context.id),
        "photogpt.job.id": str(context.id),
    }
    sent_in = read_traceparent((context.headers or {}).get("traceparent"))
    with in_trace(sent_in), traces.span(f"process {task}", SpanKind.CONSUMER, attributes) as span:
        yield span


def envelope_of(task: str, context: Any, problem: str, traceparent: str | None = None) -> Envelope:
    """Return what a message says.

    Args:
        task: name of the task.
        context: Celery's context of the message.
        problem: why the message cannot be used; '' if it can.
        traceparent: see `Job.traceparent`.
    """
    result = result_fields(context)
    continuation = ""
    if result is None:
        arguments = describe_arguments(context.kwargs, hide_prompts=settings.hide_prompts)
        try:
            continuation = capture_continuation(context, task, arguments)
        except (ValueError, TypeError, RecursionError) as error:
            problem = problem or f"the message's headers or canvas cannot be stored as JSON: {error}"
    return Envelope(
        id=str(context.id),
        kind=KINDS[task],
        args=list(context.args),
        kwargs=context.kwargs,
        continuation=continuation,
        result_meta=result,
        eta=_epoch(context.eta),
        expires_at=_epoch(context.expires),
        redelivered=bool((context.delivery_info or {}).get("redelivered")),
        problem=problem,
        traceparent=traceparent,
    )


def _epoch(text: Any) -> float | None:
    """Return a time of a message as epoch seconds. As in Celery, a time without a zone is UTC."""
    at = maybe_iso8601(text)
    return None if at is None else maybe_make_aware(at).timestamp()


def end_unreadable(message: JsonObject, problem: str) -> None:
    """End the job of a message whose envelope kombu cannot read, if its headers name one.

    Raises:
        redis.RedisError: Redis is unavailable.
    """
    headers = message.get("headers")
    job_id = text_id(headers.get("id")) if isinstance(headers, dict) else None
    if not isinstance(headers, dict) or job_id is None or headers.get("task") not in KINDS:
        return
    envelope = Envelope(
        id=job_id,
        kind=KINDS[headers["task"]],
        args=[],
        kwargs=_readable_kwargs(message.get("body")),
        continuation="",
        result_meta={"ignored": True} if headers.get("ignore_result") else {},
        problem=problem,
    )
    accept(services(), envelope)
    job = services().store.jobs.get(job_id)
    if job is not None and job.state.terminal:
        send_continuation(services(), job, "")


def _readable_kwargs(body: object) -> JsonObject:
    """Return the keyword arguments of a body as kombu writes it; empty if it cannot be read."""
    try:
        _, kwargs, _ = loads(base64.b64decode(str(body), validate=True))
    except (ValueError, TypeError, RecursionError):
        return {}
    return kwargs if isinstance(kwargs, dict) else {}


handlers.open_list = lambda: services().store.rejected
handlers.end_job = end_unreadable
