"""Messages that cannot be used: where one names a job, the job ends as `invalid_request` as for any bad argument."""

from __future__ import annotations

from functools import partial
from typing import Any

from kombu.exceptions import ContentDisallowed, DecodeError

from worker.domain.job import JsonObject
from worker.domain.json_values import text_id
from worker.domain.text import truncate
from worker.queue.acceptance import KINDS
from worker.queue.strategy import JobRequest, readable_canvas

LEFT_OUT = frozenset({"eta", "expires", "timelimit", "argsrepr", "kwargsrepr"})
"""Headers of no use to a job that ends at once; one of them may be what is wrong with the message."""

MAX_PROBLEM = 200  # characters of what a library says about a message


def refused_request(consumer: Any, message: Any, problem: str) -> JobRequest | None:
    """Return a request that ends the job of a message, or None if the message has no job task or no id.

    Args:
        consumer: Celery's.
        message: kombu's message. Keyword arguments and canvas are used as far as its body can be read.
        problem: what is wrong with the message, for the outcome.
    """
    headers: JsonObject = message.headers if isinstance(message.headers, dict) else {}
    sent = headers if "task" in headers else _payload(message)
    if not isinstance(sent, dict) or sent.get("task") not in KINDS or text_id(sent.get("id")) is None:
        return None
    request = JobRequest(
        message,
        headers={name: value for name, value in sent.items() if name not in LEFT_OUT},
        body=([], *_readable_parts(_payload(message))),
        decoded=True,
        on_ack=partial(consumer.call_soon_ack, message.ack_log_error),
        on_reject=partial(consumer.call_soon_ack, message.reject_log_error),
        app=consumer.app,
        hostname=consumer.hostname,
        eventer=consumer.event_dispatcher,
        task=consumer.app.tasks[sent["task"]],
        connection_errors=consumer.connection_errors,
    )
    request.problem = truncate(problem, MAX_PROBLEM)
    return request


def _payload(message: Any) -> Any:
    """Return the decoded body of a message, or None if it cannot be decoded."""
    if message.errors:  # its body is still compressed
        return None
    try:
        return message.payload
    except (ContentDisallowed, DecodeError):
        return None


def _readable_parts(payload: Any) -> tuple[JsonObject, JsonObject]:
    """Return the keyword arguments and the canvas of a decoded body, each empty where it is no object."""
    kwargs: object = {}
    embed: object = {}
    if isinstance(payload, dict):  # task protocol 1
        kwargs, embed = payload.get("kwargs"), payload
    elif isinstance(payload, list) and len(payload) == 3:
        _, kwargs, embed = payload
    canvas = readable_canvas(embed) if isinstance(embed, dict) else {}
    return kwargs if isinstance(kwargs, dict) else {}, canvas
