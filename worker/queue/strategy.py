"""The front door: what a worker does with a message of a job task.

Every message of a producer is accepted in a pool thread and acknowledged afterwards, also one with an eta: Redis keeps
the start time. Its task does not run, since there is nothing to return yet, unless its job has ended already. A
continuation runs the task as in Celery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from celery import signals
from celery.app.task import Context
from celery.worker import state
from celery.worker.strategy import default as celery_strategy
from celery.worker.strategy import hybrid_to_proto2  # type: ignore[attr-defined]  # the stubs lack it
from redis import RedisError

from worker.domain.job import JobState
from worker.domain.json_values import text_id
from worker.queue.acceptance import accept_message, end_dropped_message
from worker.queue.app import redis_outage, services
from worker.queue.continuation import CONTINUED
from worker.queue.rejected import MalformedMessage
from worker.queue.request import RedactedRequest
from worker.queue.revocation import revoked_by_stamps
from worker.store.connection import is_unavailable

CANVAS = ("callbacks", "errbacks", "chain", "chord")
"""Parts of a message that say which tasks follow."""


def job_strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Return the handler of a job task's messages. Celery calls this once for each task and connection."""
    hand_over = celery_strategy(task, app, consumer)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        headers, parts = read_message(message, body)
        if headers.get(CONTINUED):
            hand_over(message, body, ack, reject, callbacks)
            return
        request = JobRequest(
            message,
            headers=headers,
            body=parts,
            decoded=True,
            on_ack=ack,
            on_reject=reject,
            app=app,
            hostname=consumer.hostname,
            eventer=consumer.event_dispatcher,
            task=task,
            connection_errors=consumer.connection_errors,
        )
        receive(consumer, request, callbacks)

    return handle


def read_message(message: Any, body: Any) -> tuple[dict[str, Any], Any]:
    """Return the headers and the body of a message as Celery's task protocol 2 has them.

    Args:
        message: kombu's message.
        body: the decoded body of a message in task protocol 1, else None.

    Raises:
        MalformedMessage: the message is malformed.
    """
    payload = body or message.payload
    headers = message.headers
    if isinstance(payload, dict) and payload.keys() & {"args", "kwargs"}:  # protocol 1, or headers of 2, body of 1
        _check_arguments(payload.get("args", []), payload.get("kwargs", {}))
        payload, headers, _, _ = hybrid_to_proto2(message, payload)
    match payload:
        case [args, kwargs, dict() | None as embed]:
            _check_arguments(args, kwargs)
            canvas = embed or {}
            if readable_canvas(canvas) != {name: canvas[name] for name in CANVAS if canvas.get(name)}:
                raise MalformedMessage("callbacks, errbacks, chain and chord must be signatures")
        case _:
            raise MalformedMessage("the body must be [args, kwargs, embed]")
    _check_headers(headers)
    return headers, payload


def _check_headers(headers: dict[str, Any]) -> None:
    if not headers.get("id"):
        raise MalformedMessage("the header `id` is missing")
    if text_id(headers["id"]) is None:
        raise MalformedMessage("the header `id` must be a text")
    if not isinstance(headers.get("stamped_headers") or [], list) or not isinstance(headers.get("stamps") or {}, dict):
        raise MalformedMessage("stamped_headers must be a list, and stamps an object")


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
        raise MalformedMessage("args: must be a list; the body is [args, kwargs, embed]")
    if not isinstance(kwargs, dict):
        raise MalformedMessage("kwargs: must be an object; the body is [args, kwargs, embed]")


def receive(consumer: Any, request: JobRequest, callbacks: Any) -> None:
    """Announce a message and give it to the pool, as Celery's own strategy does."""
    eta: datetime | None = request.eta
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
        eta=eta.isoformat() if eta else None,
        expires=expires.isoformat() if expires else None,
    )
    state.task_reserved(request)
    for callback in callbacks:
        callback(request)
    consumer.on_task_request(request)


class Verdict(Enum):
    """What became of a new message without running its task."""

    ACCEPTED = auto()
    DROPPED = auto()
    REDIS_UNAVAILABLE = auto()


class JobRequest(RedactedRequest):
    """A new message. Accepts its job in the pool; runs the task only when the job has ended already."""

    #: Why the message cannot be used; its job then ends as `invalid_request`.
    problem = ""

    def revoked(self) -> bool:
        """Return False to Celery: a job that was accepted goes on, which only `accept` can find out."""
        return False

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> Any:
        """Give the message to the pool, with `accept` in front of Celery's tracer."""
        accept_first: Any = _AcceptFirst(pool, self)
        return super().execute_using_pool(accept_first, **kwargs)

    def accept(self) -> Verdict | None:
        """Accept the job; None if Celery's tracer has to run the task: it has an outcome, or accepting failed."""
        try:
            verdict = self._accept()
        except RedisError as error:
            if not is_unavailable(error):
                return None  # the record is unusable; the task raises the same error, and Celery stores it
            redis_outage.report(error)
            return Verdict.REDIS_UNAVAILABLE
        except Exception:  # noqa: BLE001 - the task raises the same error, and Celery logs and stores it
            return None
        if verdict is None:
            self.request_dict[CONTINUED] = True  # the task returns the outcome
        return verdict

    def _accept(self) -> Verdict | None:
        """Accept the job, or end it if its message is to be dropped; None if it has ended before."""
        _args, _kwargs, embed = self.body
        if embed and embed.get("chord"):
            self.request_dict["id"] = str(self.id)  # Celery counts the tasks of a chord by ids that are text
        context = Context({**self.request_dict, **(embed or {})}, called_directly=False)
        end = self._end_if_dropped()
        if end is not None and end_dropped_message(self.type, context, end, problem=self.problem):
            return Verdict.DROPPED if super().revoked() else None  # Celery stores REVOKED, and acknowledges
        return Verdict.ACCEPTED if accept_message(self.type, context, problem=self.problem) is None else None

    def _end_if_dropped(self) -> JobState | None:
        """Return how the job ends if no worker has accepted it: its message has expired, or was revoked."""
        if text_id(self.id) in state.revoked or revoked_by_stamps(self.stamps):
            return JobState.CANCELED
        expires: datetime | None = self.expires
        if expires and expires.timestamp() <= services().store.clock():
            return JobState.EXPIRED
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
            case Verdict.DROPPED:
                pass
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
