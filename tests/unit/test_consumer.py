"""What the consumer logs of messages that it cannot use, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import InvalidTaskError, WorkerShutdown
from celery.worker import state

from worker.queue import rejected
from worker.queue.consumer import ResilientConsumer
from worker.telemetry.outage import Outage

SECRET = "a prompt that no log may quote"


class Message:
    """A message whose every part holds a prompt."""

    content_type = content_encoding = "x"
    delivery_info: dict[str, Any] = {}  # noqa: RUF012 - read only

    def __init__(self, headers: Any, payload: Any = None) -> None:
        """Carry headers and a body."""
        self.headers = headers
        self.payload = payload
        self.body = SECRET
        self.properties = {"correlation_id": "task-1", "reply_to": "queue-1"}
        self.answers: list[str] = []

    def ack(self) -> None:
        """Record an acknowledgement."""
        self.answers.append("ack")

    def reject_log_error(self, *_: Any) -> None:
        """Record a rejection."""
        self.answers.append("reject")


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store no rejected message: these tests have no Redis."""
    monkeypatch.setattr(rejected.handlers, "open_list", None)


@pytest.fixture
def consumer() -> ResilientConsumer:
    """A consumer that is not connected."""
    made = object.__new__(ResilientConsumer)
    made.app = Celery("tests", broker="memory://", backend="cache+memory://", set_as_current=False)
    made.connection_errors = ()
    made.event_dispatcher = None
    return made


def test_a_stop_ends_the_wait_for_servers(consumer: ResilientConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is stopped while it waits for a server at its start does not connect to that server once more."""
    monkeypatch.setattr("worker.queue.consumer.check_servers", lambda _: False)
    monkeypatch.setattr(state, "should_stop", 0)
    consumer._outage = Outage("broker.unavailable", "broker.recovered", message="", recovered="")
    with pytest.raises(WorkerShutdown):
        consumer.ensure_connected(None)


Use = Callable[[ResilientConsumer, Message], Any]
UNUSABLE: dict[str, tuple[Use, str, str]] = {
    "decode error": (
        lambda consumer, message: consumer.on_decode_error(message, ValueError("no JSON")),
        "ack",
        "its body cannot be decoded",
    ),
    "unknown message": (
        lambda consumer, message: consumer.on_unknown_message(SECRET, message),
        "reject",
        "not a message of Celery's task protocol",
    ),
    "invalid task": (
        lambda consumer, message: consumer.on_invalid_task(SECRET, message, InvalidTaskError(SECRET)),
        "reject",
        "its headers or its body are malformed",
    ),
    "unknown task": (
        lambda consumer, message: consumer.on_unknown_task(SECRET, message, KeyError("photogpt.unknown")),
        "reject",
        "there is no such task",
    ),
}


@pytest.mark.parametrize(("use", "answer", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_message_is_discarded(
    consumer: ResilientConsumer, caplog: pytest.LogCaptureFixture, use: Use, answer: str, reason: str
) -> None:
    """A message that cannot be used is discarded with one log line, which names task, id and error, and no content."""
    message = Message({"task": "photogpt.unknown", "id": "task-1", "argsrepr": SECRET, "kwargsrepr": SECRET})
    use(consumer, message)
    assert message.answers == [answer]
    (record,) = [record for record in caplog.records if record.name != "celery"]
    fields: dict[str, Any] = vars(record)["fields"]
    assert vars(record)["event"] == "message.rejected"
    assert (fields["task"], fields["job"]) == ("photogpt.unknown", "task-1")
    assert reason in fields["error"]
    assert SECRET not in str(vars(record))


def test_an_unknown_task_fails(consumer: ResilientConsumer) -> None:
    """The producer of an unknown task gets NotRegistered as its result, and Flower shows the failure."""
    sent: list[Any] = []
    consumer.event_dispatcher = SimpleNamespace(send=lambda type_, **fields: sent.append((type_, fields["uuid"])))
    consumer.on_unknown_task(None, Message({"task": "photogpt.unknown", "id": "task-1"}), KeyError("photogpt.unknown"))
    result = consumer.app.AsyncResult("task-1")
    assert (result.state, type(result.result).__name__) == ("FAILURE", "NotRegistered")
    assert sent == [("task-failed", "task-1")]


@pytest.mark.parametrize(
    "message",
    [
        Message({"task": "photogpt.unknown"}),
        Message({"task": "photogpt.unknown", "id": ["a list"]}),
        Message({}, {"task": "photogpt.unknown"}),
    ],
    ids=["no id", "an id that is not text", "protocol 1"],
)
def test_an_unknown_task_without_an_id_is_discarded(consumer: ResilientConsumer, message: Message) -> None:
    """A message of an unknown task without a usable id is discarded, and no result is stored."""
    consumer.on_unknown_task(None, message, KeyError("photogpt.unknown"))
    assert message.answers == ["reject"]
