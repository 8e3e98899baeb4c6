"""The front door: what a worker does with a message of a job task.

A new message is accepted in a pool thread and acknowledged afterwards. Its task does not run, since there is nothing to
return yet. Every other message runs the task as in Celery: a continuation, a message with an eta once it is due, and a
message whose job has ended already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from celery import signals
from celery.app.task import Context
from celery.exceptions import InvalidTaskError
from celery.worker import state
from celery.worker.strategy import default as celery_strategy
from redis import RedisError

from worker.domain.job import TASKS
from worker.domain.json_values import text_id
from worker.domain.outcome import Outcome
from worker.queue.app import redis_outage, services, settings
from worker.queue.continuation import CONTINUED, capture_continuation, result_fields
from worker.queue.redaction import describe_arguments
from worker.queue.request import RedactedRequest
from worker.steps.accept import Envelope, accept
from worker.store.connection import is_unavailable

CANVAS = ("callbacks", "errbacks", "chain", "chord")
"""Parts of a message that say which tasks follow."""

KINDS = {name: kind for kind, name in TASKS.items()}


def job_strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Return the handler of a job task's messages. Celery calls this once for each task and connection."""
    hand_over = celery_strategy(task, app, consumer)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        if not is_new_job(message, body):
            hand_over(message, body, ack, reject, callbacks)
            return
        request = JobRequest(
            message,
            on_ack=ack,
            on_reject=reject,
            app=app,
            hostname=consumer.hostname,
            eventer=consumer.event_dispatcher,
            task=task,
            connection_errors=consumer.connection_errors,
        )
        if not request.revoked():
            receive(consumer, request, callbacks)

    return handle


def is_new_job(message: Any, body: Any) -> bool:
    """Return whether a message asks for a new job, to be accepted now.

    Args:
        message: kombu's message.
        body: the decoded body of a message in Celery's task protocol 1, else None.

    Raises:
        InvalidTaskError: the message is malformed.
    """
    payload = body or message.payload
    if isinstance(payload, dict):  # protocol 1, or headers of 2 with a body of 1
        _check_arguments(payload.get("args", []), payload.get("kwargs", {}))
        return False
    match payload:
        case [args, kwargs, dict() | None as embed]:
            _check_arguments(args, kwargs)
            canvas = embed or {}
            if readable_canvas(canvas) != {name: canvas[name] for name in CANVAS if canvas.get(name)}:
                raise InvalidTaskError("callbacks, errbacks, chain and chord must be signatures")
        case _:
            raise InvalidTaskError("the body must be [args, kwargs, embed]")
    if not message.headers.get("id"):
        raise InvalidTaskError("the header `id` is missing")
    if text_id(message.headers["id"]) is None:
        raise InvalidTaskError("the header `id` must be a text")
    return not message.headers.get(CONTINUED) and message.headers.get("eta") is None


def readable_canvas(embed: dict[str, Any]) -> dict[str, Any]:
    """Return those of a message's callbacks, errbacks, chain and chord that are signatures."""
    found = {name: embed[name] for name in CANVAS if embed.get(name)}
    return {
        name: value
        for name, value in found.items()
        if (isinstance(value, list) and all(isinstance(each, dict) for each in value))
        or (name == "chord" and isinstance(value, dict))
    }


def _check_arguments(args: object, kwargs: object) -> None:
    if not isinstance(args, list | tuple):
        raise InvalidTaskError("args: must be a list; the body is [args, kwargs, embed]")
    if not isinstance(kwargs, dict):
        raise InvalidTaskError("kwargs: must be an object; the body is [args, kwargs, embed]")


def receive(consumer: Any, request: JobRequest, callbacks: Any) -> None:
    """Announce a message and give it to the pool, as Celery's own strategy does."""
    expires: datetime | None = request.expires
    signals.task_received.send(sender=consumer, request=request)
    request.send_event(
        "task-received",
        name=request.name,
        args=request.argsrepr,
        kwargs=request.kwargsrepr,
        root_id=request.root_id,
        parent_id=request.parent_id,
        retries=request.request_dict.get("retries", 0),
        eta=None,
        expires=expires.isoformat() if expires else None,
    )
    state.task_reserved(request)
    for callback in callbacks:
        callback(request)
    consumer.on_task_request(request)


class Verdict(Enum):
    """What became of a new message without running its task."""

    ACCEPTED = auto()
    REDIS_UNAVAILABLE = auto()


class JobRequest(RedactedRequest):
    """A new message. Accepts its job in the pool; runs the task only when the job has ended already."""

    #: Why the message cannot be used; its job then ends as `invalid_request`.
    problem = ""

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> Any:
        """Give the message to the pool, with `accept` in front of Celery's tracer."""
        accept_first: Any = _AcceptFirst(pool, self)
        return super().execute_using_pool(accept_first, **kwargs)

    def accept(self) -> Verdict | None:
        """Accept the job; None if Celery's tracer has to run the task: it has an outcome, or accepting failed."""
        _args, _kwargs, embed = self.body if self.problem else self.message.payload
        if embed and embed.get("chord"):
            self.request_dict["id"] = str(self.id)  # Celery counts the tasks of a chord by ids that are text
        context = Context({**self.request_dict, **(embed or {})}, called_directly=False)
        try:
            outcome = accept_message(self.type, context, problem=self.problem)
        except RedisError as error:
            if not is_unavailable(error):
                return None  # the record is unusable; the task raises the same error, and Celery stores it
            redis_outage.report(error)
            return Verdict.REDIS_UNAVAILABLE
        except Exception:  # noqa: BLE001 - the task raises the same error, and Celery logs and stores it
            return None
        if outcome is None:
            return Verdict.ACCEPTED
        self.request_dict[CONTINUED] = True  # the task returns the outcome
        return None

    def on_success(self, failed__retval__runtime: Any, **kwargs: Any) -> None:
        """Acknowledge an accepted message; requeue it while Redis is unavailable. Runs in the pool thread.

        Args:
            failed__retval__runtime: what `accept` returned, or else what Celery's tracer did.
            kwargs: as Celery gives them.
        """
        match failed__retval__runtime:
            case Verdict.ACCEPTED:
                state.task_ready(self)
                self.acknowledge()
            case Verdict.REDIS_UNAVAILABLE:
                state.task_ready(self)
                self.reject(requeue=True)
            case traced:
                super().on_success(traced, **kwargs)


@dataclass(frozen=True, slots=True)
class _AcceptFirst:
    """The pool as a request sees it: runs `request.accept` in the pool thread, before Celery's tracer."""

    pool: Any
    request: JobRequest

    def apply_async(self, trace: Callable[..., Any], args: tuple[Any, ...], **options: Any) -> Any:
        """Run `accept`, then the tracer if that returned None."""
        return self.pool.apply_async(lambda *traced: self.request.accept() or trace(*traced), args=args, **options)


def accept_message(task: str, context: Any, *, problem: str = "") -> Outcome | None:
    """Accept the job of a message; return its outcome if there is nothing to wait for.

    Args:
        task: name of the task.
        context: Celery's context of the message.
        problem: why the message cannot be used; '' if it can.

    Raises:
        redis.RedisError: Redis is unavailable, or the job's record is unusable.
    """
    result = result_fields(context)
    continuation = ""
    if result is None:
        arguments = describe_arguments(context.kwargs, hide_prompts=settings.hide_prompts)
        try:
            continuation = capture_continuation(context, task, arguments)
        except (ValueError, TypeError, RecursionError) as error:
            problem = problem or f"the message's headers or canvas cannot be stored as JSON: {error}"
    envelope = Envelope(
        id=str(context.id),
        kind=KINDS[task],
        args=list(context.args),
        kwargs=context.kwargs,
        continuation=continuation,
        result_meta=result,
        redelivered=bool((context.delivery_info or {}).get("redelivered")),
        problem=problem,
    )
    return accept(services(), envelope)
