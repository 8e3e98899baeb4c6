"""What the strategy of a job task does with each kind of message."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.worker import state
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from worker.domain.job import JobState
from worker.queue import strategy
from worker.queue.continuation import CONTINUED
from worker.queue.strategy import job_strategy

NAME = "photogpt.generate_image"
RETURNED = (False, "what the tracer returned", 0.0)


def do_nothing() -> None:
    """The body of the task."""


class Message:
    """A message as kombu hands it over."""

    content_type = "application/json"
    content_encoding = "utf-8"
    delivery_info: dict[str, Any] = {}  # noqa: RUF012 - read only
    properties: dict[str, Any] = {}  # noqa: RUF012 - read only

    def __init__(self, payload: Any, **headers: Any) -> None:
        """Carry a decoded body and headers."""
        self.payload = payload
        self.body = json.dumps(payload)
        self.headers = {"task": NAME, "id": "job-1", **headers}


class Worker:
    """A consumer and its pool. The pool runs a message at once; Celery's tracer and strategy are recorded."""

    hostname = "worker@test"
    connection_errors = ()
    event_dispatcher = None

    def __init__(self) -> None:
        """Start with nothing recorded."""
        self.accepted: list[Any] = []
        self.answer: Any = None
        self.traced: list[dict[str, Any]] = []
        self.handed_over: list[Any] = []
        self.settled: list[str] = []
        self.received: list[Any] = []
        self.ended: list[tuple[str, JobState]] = []
        self.is_unknown = True

    def accept(self, task: str, context: Any, *, problem: str) -> Any:
        """Answer as the test wants it."""
        assert not problem
        self.accepted.append((task, context))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def end_dropped(self, task: str, context: Any, end: JobState, *, problem: str) -> bool:
        """Record how a job ends that no worker accepted."""
        assert (task, problem) == (NAME, "")
        self.ended.append((context.id, end))
        return self.is_unknown

    def apply_async(self, target: Any, args: Any, callback: Any, accept_callback: Any, **_: Any) -> None:
        """Run a message as Celery's thread pool does."""
        accept_callback(1, 0.0)
        callback(target(*args))

    def on_task_request(self, request: Any) -> None:
        """Give a message to the pool as Celery's controller does."""
        assert request in state.reserved_requests
        self.received.append(request)
        request.execute_using_pool(self)

    def trace(self, _task: str, _id: str, request: dict[str, Any], *_: Any) -> Any:
        """Record what the task would see."""
        self.traced.append(request)
        return RETURNED

    def celery_strategy(self, *_: Any) -> Any:
        """Record what is handed over to Celery."""
        return lambda message, *_: self.handed_over.append(message)

    def handle(self, message: Message, body: Any = None) -> None:
        """Handle one message."""
        app = Celery("tests", broker="memory://", backend="cache+memory://", set_as_current=False)
        task = app.task(name=NAME, acks_late=True, shared=False)(do_nothing)
        handle = job_strategy(task, app, self)
        handle(message, body, lambda *_: self.settled.append("acknowledged"), self._reject, ())

    def _reject(self, _log: Any, _errors: Any, requeue: bool) -> None:
        self.settled.append("requeued" if requeue else "rejected")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker in which Redis, Celery's tracer and Celery's strategy are stand-ins."""
    worker = Worker()
    monkeypatch.setattr(strategy, "accept_message", worker.accept)
    monkeypatch.setattr(strategy, "end_dropped_message", worker.end_dropped)
    monkeypatch.setattr(strategy, "services", lambda: SimpleNamespace(store=SimpleNamespace(clock=time.time)))
    monkeypatch.setattr(strategy, "celery_strategy", worker.celery_strategy)
    monkeypatch.setattr("celery.worker.request.trace_task_ret", worker.trace)
    monkeypatch.setattr("worker.queue.request.REQUEUE_IN_S", 0)
    yield worker
    state.reset_state()


def new_message(**headers: Any) -> Message:
    """Return a producer's message."""
    return Message([[1], {"request": {}}, {"chain": [{"task": "next"}], "callbacks": None}], **headers)


def test_a_new_message_is_accepted_and_acknowledged(worker: Worker) -> None:
    """A new message is accepted with Celery's context of it, and acknowledged without running its task."""
    worker.handle(new_message(group="g", trace="t"))
    ((task, context),) = worker.accepted
    assert (task, context.id, context.args, context.kwargs) == (NAME, "job-1", [1], {"request": {}})
    assert (context.group, context.chain, context.callbacks) == ("g", [{"task": "next"}], None)
    assert context.headers["trace"] == "t"
    assert context.called_directly is False
    assert (worker.settled, worker.traced, worker.handed_over) == (["acknowledged"], [], [])
    assert not state.active_requests
    assert not state.reserved_requests


def test_a_message_whose_job_has_ended_runs_its_task(worker: Worker) -> None:
    """Where accepting finds an outcome, Celery's tracer runs the task as a continuation, which returns it."""
    worker.answer = {"id": "job-1", "state": "succeeded"}
    worker.handle(new_message())
    (request,) = worker.traced
    assert request[CONTINUED] is True
    assert worker.settled == ["acknowledged"]


@pytest.mark.parametrize("error", [ValueError("no"), ResponseError("WRONGTYPE")], ids=repr)
def test_an_error_is_left_to_the_task(worker: Worker, error: Exception) -> None:
    """Where accepting fails, Celery's tracer runs the task, which fails with the same error and stores it."""
    worker.answer = error
    worker.handle(new_message())
    assert [request.get(CONTINUED) for request in worker.traced] == [None]


def test_an_unavailable_redis_requeues_the_message(worker: Worker) -> None:
    """While Redis is unavailable a new message returns to its queue, and its task does not run."""
    worker.answer = RedisConnectionError("refused")
    worker.handle(new_message())
    assert (worker.settled, worker.traced) == (["requeued"], [])


def test_a_stopping_worker_stops(worker: Worker) -> None:
    """SystemExit in the pool thread is not swallowed."""
    worker.answer = SystemExit(0)
    with pytest.raises(SystemExit):
        worker.handle(new_message())
    assert worker.settled == []


def test_a_revoked_message_is_not_accepted(worker: Worker) -> None:
    """A message whose id was revoked is acknowledged, and its job ends as canceled."""
    state.revoked.add("job-1")
    worker.handle(new_message())
    assert (worker.settled, worker.accepted, worker.traced) == (["acknowledged"], [], [])
    assert worker.ended == [("job-1", JobState.CANCELED)]


def test_a_message_revoked_by_a_stamp_is_not_accepted(worker: Worker) -> None:
    """A message one of whose stamps was revoked is acknowledged, and its job ends as canceled."""
    stamps: Any = state.revoked_stamps
    stamps["customer"] = ["7"]
    worker.handle(new_message(stamped_headers=["customer"], stamps={"customer": ["6", "7"]}))
    assert (worker.settled, worker.accepted) == (["acknowledged"], [])
    assert worker.ended == [("job-1", JobState.CANCELED)]


PAST = "2020-01-01T00:00:00+00:00"


def test_an_expired_message_is_not_accepted(worker: Worker) -> None:
    """A message whose `expires` has passed is acknowledged, and its job ends as expired."""
    worker.handle(new_message(expires=PAST))
    assert (worker.settled, worker.accepted, worker.traced) == (["acknowledged"], [], [])
    assert worker.ended == [("job-1", JobState.EXPIRED)]


def test_an_expired_message_of_an_accepted_job_revokes_nothing(worker: Worker) -> None:
    """A message that expired after its job was accepted is like any second message: Celery does not revoke its id."""
    worker.is_unknown = False
    worker.handle(new_message(expires=PAST))
    assert len(worker.accepted) == 1
    assert worker.settled == ["acknowledged"]
    assert "job-1" not in state.revoked


def test_a_continuation_goes_to_celery(worker: Worker) -> None:
    """A continuation goes to Celery's own strategy unchanged."""
    message = new_message(photogpt_continued=True)
    worker.handle(message)
    assert worker.handed_over == [message]
    assert (worker.accepted, worker.settled) == ([], [])


PROTOCOL_1 = {"task": NAME, "id": "job-1", "args": [1], "kwargs": {"request": {}}, "eta": "2030-01-01T00:00:00"}

OTHER_FORMS = {
    "with an eta": (new_message(eta="2030-01-01T00:00:00"), None),
    "protocol 1": (Message(PROTOCOL_1), PROTOCOL_1),
    "headers of protocol 2, body of 1": (Message(PROTOCOL_1), None),
}


@pytest.mark.parametrize(("message", "body"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_every_form_is_accepted(worker: Worker, message: Message, body: Any) -> None:
    """A message with an eta, and one of task protocol 1, is accepted with its eta like any other."""
    worker.handle(message, body)
    ((_, context),) = worker.accepted
    assert (context.id, context.args, context.kwargs) == ("job-1", [1], {"request": {}})
    assert context.eta == "2030-01-01T00:00:00"
    assert (worker.settled, worker.handed_over) == (["acknowledged"], [])


MALFORMED: dict[str, Any] = {
    "text": "text",
    "null": None,
    "two parts": [[], {}],
    "arguments are an object": [{}, {}, {}],
    "keyword arguments are a list": [[], [], {}],
    "embed is a list": [[], {}, []],
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_refused(worker: Worker, payload: Any) -> None:
    """A body that is not [args, kwargs, embed] is refused as invalid; in Celery it ends the worker."""
    with pytest.raises(InvalidTaskError, match=r"\[args, kwargs, embed\]"):
        worker.handle(Message(payload))


@pytest.mark.parametrize("headers", [{"id": None}, {"eta": None, "expires": "tomorrow"}], ids=str)
def test_malformed_headers_are_refused(worker: Worker, headers: dict[str, Any]) -> None:
    """A message without an id, or with an unreadable expiry, is refused as invalid."""
    with pytest.raises(InvalidTaskError):
        worker.handle(new_message(**headers))


def test_flower_sees_a_new_message(worker: Worker) -> None:
    """A new message sends task-received with redacted arguments, and task-started when a thread takes it."""
    sent: list[tuple[str, dict[str, Any]]] = []
    worker.event_dispatcher = SimpleNamespace(  # type: ignore[assignment]
        enabled=True, send=lambda type_, **fields: sent.append((type_, fields))
    )
    worker.handle(new_message(root_id="root"))
    (received, fields), (started, _) = sent
    assert (received, started) == ("task-received", "task-started")
    assert (fields["uuid"], fields["name"], fields["root_id"], fields["args"]) == ("job-1", NAME, "root", "(…)")
