"""What is done once instead of often, and is the same all the same."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Ignore
from kombu.transport import redis as transport

from worker.queue.strategy import LEFT, accept_first, one_client_a_pool

REQUEST = {"id": "a", "headers": {"x": 1}, "photogpt_resumed": None}


class Task:
    """A task that may leave."""

    def __init__(self, left: bool | Exception) -> None:
        """Answer so."""
        self._left = left
        self.asked: list[Any] = []

    def leaves(self, context: Any) -> bool:
        """Answer as told."""
        self.asked.append(context)
        if isinstance(self._left, Exception):
            raise self._left
        return self._left


def traced(task: Task) -> tuple[Any, list[tuple[Any, ...]]]:
    """Run one message through; return what came of it, and what Celery's own tracer was asked."""
    asked: list[tuple[Any, ...]] = []

    def trace(*told: Any) -> str:
        asked.append(told)
        return "Celery's"

    return accept_first(task, trace)("a", [1], {"b": 2}, REQUEST), asked


def test_who_leaves_is_not_traced() -> None:
    """The task saw the message as Celery's context."""
    task = Task(left=True)
    assert traced(task) == (LEFT, [])
    (context,) = task.asked
    assert (context.id, context.args, context.kwargs) == ("a", [1], {"b": 2})
    assert context.called_directly is False


@pytest.mark.parametrize("left", [False, ValueError("no"), Ignore()], ids=repr)
def test_who_stays_is_traced(left: bool | Exception) -> None:
    """So is one that raises: Celery runs into it again, and knows what to do."""
    assert traced(Task(left)) == ("Celery's", [("a", [1], {"b": 2}, REQUEST)])


def test_a_worker_that_is_told_to_end_ends() -> None:
    """What is no Exception is not swallowed."""

    class JobResult(Task):
        def leaves(self, context: Any) -> bool:
            raise SystemExit(str(context.id))

    with pytest.raises(SystemExit):
        traced(JobResult(left=True))


def test_leaving_looks_like_ignore() -> None:
    """To the request that gets the answer: as if the task had raised it under Celery's tracer."""
    app = Celery("a test", broker="memory://", backend="cache+memory://", set_as_current=False)

    def leave() -> None:
        raise Ignore

    task: Any = app.task(name="leaves", acks_late=True)(leave)
    tracer: Callable[..., Any] = build_tracer("leaves", task, app=app)
    endpoint_at_fault = tracer("a", [], {}, {"id": "a"})
    assert len(endpoint_at_fault) == len(LEFT)
    for mine, other in zip(LEFT, endpoint_at_fault, strict=True):
        assert type(mine) is type(other) or isinstance(mine, float)
    assert (LEFT[0].internal, LEFT[1].state) == (endpoint_at_fault[0].internal, endpoint_at_fault[1].state)
    assert isinstance(LEFT[0].exception, Ignore) is isinstance(endpoint_at_fault[0].exception, Ignore)


def test_one_client_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same one again, a new one with a new pool, and always a new one for what blocks."""
    made: list[Any] = []

    def create(channel: Any, *, asynchronous: bool = False) -> Any:
        made.append(SimpleNamespace(connection_pool=channel.pool, asynchronous=asynchronous))
        return made[-1]

    monkeypatch.setattr("worker.queue.strategy.create_client", create)
    channel = SimpleNamespace(pool=object())
    first = one_client_a_pool(channel)
    assert one_client_a_pool(channel) is first
    blocking = [one_client_a_pool(channel, asynchronous=True) for _ in range(2)]
    assert blocking[0] is not blocking[1]
    assert blocking[0] is not first
    assert one_client_a_pool(channel) is first
    channel.pool = object()
    assert one_client_a_pool(channel) is not first


def test_kombu_still_has_what_is_stood_in_for() -> None:
    """A name of its own that no document promises."""
    assert hasattr(transport.Channel, "_create_client")
