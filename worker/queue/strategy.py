"""What Celery and kombu do more often than they need to, done once. Measured in `ops/adr/0008`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.app.trace import TraceInfo
from celery.exceptions import Ignore
from celery.states import IGNORED
from kombu.transport import redis as transport


def accept_first(task: Any, trace: Callable[..., Any]) -> Callable[..., Any]:
    """Return a tracer that asks a task first whether it leaves; whatever else there is to do, Celery's own does."""

    def traced(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        context = Context(request or {}, args=args, kwargs=kwargs, called_directly=False)
        try:
            left = task.leaves(context)
        except Exception:  # noqa: BLE001 - Celery's own tracer runs into it again, and knows what to do
            left = False
        return LEFT if left else trace(uuid, args, kwargs, request)

    return traced


def _left() -> tuple[ExceptionInfo, TraceInfo, float, None]:
    """Return what Celery's tracer returns of a task that raised `Ignore`."""
    try:
        raise Ignore
    except Ignore as ignored:
        return ExceptionInfo(internal=True), TraceInfo(IGNORED, ignored), 0.0, None


LEFT = _left()


def one_client_a_pool(channel: Any, *, asynchronous: bool = False) -> Any:
    """Return a client of a channel's connection pool, the same one each time; stands in for `_create_client`.

    kombu makes a client for every command it sends; making one costs redis-py more than the command does. The ones for
    BRPOP and subscriptions hold connections of their own, and are made as ever.
    """
    if asynchronous:
        return create_client(channel, asynchronous=True)
    known = vars(channel).get("known_client")
    if known is None or known.connection_pool is not channel.pool:
        known = channel.known_client = create_client(channel)
    return known


create_client: Any = vars(transport.Channel)["_create_client"]


def reuse_clients() -> None:
    """Let kombu make one client a pool, in this process and for every channel; it has no setting for that."""
    setattr(transport.Channel, "_create_client", one_client_a_pool)  # noqa: B010 - mypy does not know the name
