"""Celery's consumer, made to survive the loss of its broker and messages that cannot be used."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any
from uuid import UUID

from celery import signals
from celery.app.task import Context
from celery.exceptions import InvalidTaskError, NotRegistered
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import ContentDisallowed, DecodeError

from worker.queue.refusal import refused_request
from worker.queue.rejected import MalformedMessage, record_rejected
from worker.queue.start import check_servers
from worker.queue.strategy import receive
from worker.queue.unacked import RETRY_IN_S, wait_before_retry
from worker.telemetry.health import health
from worker.telemetry.labels import LoopPart
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage

MAX_RETRY_IN_S = 5.0  # Celery's own pauses grow to 30 s, too long for jobs that wait
MAX_BUFFERED_EVENTS = 500  # at most a second's task events for Flower; Celery's 24 make a message of a few jobs each
FLUSH_EVENTS_S = 0.25  # between two messages of task events; Celery sends about one for each task

OUR_TASKS = ("photogpt.", "celery.")
"""Names that begin so are never those of another app."""

RETURN_FOREIGN_S = 5.0
MAX_FOREIGN = 2000  # messages of another app that one worker holds beside its own; they cost a quarter of a core
WARN_EVERY_S = 60.0

MAX_ERROR = 200  # characters in the log

log = logging.getLogger(__name__)


class ResilientConsumer(Consumer):
    """Survives the loss of its broker, and logs a rejected message without its content.

    - Celery 5.7.0 closes a lost connection twice and ends with an AttributeError while a message is in hand.
    - A broker that accepts connections and refuses writes is connected to again without a pause, hundreds of times a
      second.
    - Celery logs the whole content of a message that it cannot use, prompts and webhook URLs included.
    """

    connection_errors: tuple[type[BaseException], ...]  # Celery sets them, its type stubs miss them
    event_dispatcher: Any
    hub: Any
    qos: Any
    _checked = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; nothing is connected yet."""
        super().__init__(*args, **kwargs)
        self._warn_foreign_at = 0.0
        self._foreign = 0
        self._flush_at = 0.0
        self._outage = Outage(
            "broker.unavailable",
            "broker.recovered",
            message="the broker is unavailable; the worker connects again until it is back",
            recovered="the broker is back",
        )

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it is established, and the servers are checked."""
        health.beat(LoopPart.CONSUMER)
        self._check_servers()  # Celery takes a missing database for an outage
        conn.ensure_connection(
            self._on_refused_connection,
            interval_start=RETRY_IN_S,
            interval_step=RETRY_IN_S,
            interval_max=MAX_RETRY_IN_S,
            callback=state.maybe_shutdown,
        )
        self.first_connection_attempt = False
        self._check_servers()
        return conn

    def _check_servers(self) -> None:
        """Check the servers, unless that was done already."""
        self._checked = self._checked or check_servers(self._outage)
        state.maybe_shutdown()  # a stop that came while the check waited; connecting would wait again

    def _on_refused_connection(self, error: Exception, _: float) -> None:
        health.beat(LoopPart.CONSUMER)
        self._outage.report(error)

    def on_ready(self) -> None:
        """Report the end of an outage, and let the loop report itself; Celery calls this when the worker consumes."""
        self._outage.resolve()
        health.consuming = True
        if self.hub:  # a timer would end with the connection; this callback stays
            self.hub.on_tick.add(self._on_tick)
        dispatcher = getattr(self, "event_dispatcher", None)
        if dispatcher:
            dispatcher.buffer_limit = MAX_BUFFERED_EVENTS
        super().on_ready()

    def _on_tick(self) -> None:
        """Report that the loop goes round, and send task events; kombu's hub calls this each time."""
        health.beat(LoopPart.CONSUMER)
        if time.monotonic() >= self._flush_at:
            self._flush_at = time.monotonic() + FLUSH_EVENTS_S
            self._send_events()

    def _send_events(self) -> None:
        dispatcher = getattr(self, "event_dispatcher", None)
        if dispatcher:
            dispatcher.flush()

    def on_send_event_buffered(self) -> Any:
        """Leave a task event in the buffer until the loop sends all; Celery sends them in each of its rounds."""

    def stop(self) -> None:
        """Send the task events that are left, and stop."""
        with contextlib.suppress(*self.connection_errors):
            self._send_events()
        super().stop()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Report the outage and wait; Celery connects again."""
        health.consuming = False
        self._outage.report(exc)
        wait_before_retry()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Report the outage and close the connection; Celery connects again."""
        health.consuming = False
        self._outage.report(exc)
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:  # the connection is closed; Celery 5.7.0 skips only what threads do not need
            log.debug("Celery closed a lost connection twice: %s", error)
        if not isinstance(exc, self.connection_errors):
            wait_before_retry()  # connected, and writes are refused

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Discard a message whose body cannot be read; a job that it names ends as `invalid_request`."""
        problem = f"the message cannot be decoded: {exc}"
        fault = exc if isinstance(exc, ContentDisallowed) else DecodeError()
        if not self._end_job(message, fault, problem):
            record_rejected(fault, message.headers)
            message.ack()
            self._fail_task(message, problem)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Discard a message that is not Celery's."""
        del body
        self._reject(message, MalformedMessage("not a message of Celery's task protocol"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Discard a task message whose headers or body are malformed; a job that it names ends as `invalid_request`."""
        del body
        if not self._end_job(message, exc, str(exc)):
            self._reject(message, exc)
            self._fail_task(message, str(exc))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Discard a message of a task that does not exist, and store that as its result."""
        del body
        sent = message.headers if "task" in message.headers else message.payload
        name = str(sent["task"])
        if sent["task"] == name and name and not name.startswith(OUR_TASKS):
            self._return_foreign(message, name)
            return
        self._reject(message, NotRegistered(name))
        if self._store_failure(message, sent, NotRegistered(name)):
            signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=sent["id"])

    def _return_foreign(self, message: Any, name: str) -> None:
        """Return a message of another app to the queue after a pause, so that workers do not pass it round at once."""
        queue = (message.delivery_info or {}).get("routing_key")
        if time.monotonic() > self._warn_foreign_at:
            self._warn_foreign_at = time.monotonic() + WARN_EVERY_S
            message_text = (
                "a task of another Celery app is in our queue, and goes back; give that app another queue, or name "
                "another one for our producers with PHOTOGPT_QUEUE"
            )
            event("message.foreign", message_text, warn=True, task=name, queue=queue)
        extra = self._foreign < MAX_FOREIGN
        if extra:
            self._foreign += 1
            self.qos.increment_eventually()  # it takes no place of our own messages while it waits
        self.timer.call_after(RETURN_FOREIGN_S, self._requeue_foreign, (message, extra))

    def _requeue_foreign(self, message: Any, extra: bool) -> None:  # noqa: FBT001 - called by a timer
        if extra:
            self._foreign -= 1
            self.qos.decrement_eventually()
        message.reject_log_error(log, self.connection_errors, requeue=True)

    def _end_job(self, message: Any, exc: Exception, problem: str) -> bool:
        """Let the pool end the job of a message that cannot be used; False if the message names no job."""
        request = refused_request(self, message, problem)
        if request is None:
            return False
        record_rejected(exc, message.headers)
        receive(self, request, ())
        return True

    def _fail_task(self, message: Any, problem: str) -> None:
        """Store the failure of a task other than a job, such as a cancel, whose message cannot be used."""
        sent = message.headers if isinstance(message.headers, dict) else {}
        task = self.app.tasks.get(str(sent.get("task")))
        if task is not None and not task.ignore_result:
            self._store_failure(message, sent, InvalidTaskError(problem[:MAX_ERROR]))

    def _store_failure(self, message: Any, sent: dict[str, Any], error: Exception) -> bool:
        """Store an error as the result of a task; False if its message has no id."""
        task_id = sent.get("id")
        if not isinstance(task_id, str | UUID):
            return False
        backend: Any = self.app.backend
        fields = {"id": task_id, "root_id": sent.get("root_id"), **message.properties}
        backend.mark_as_failure(task_id, error, request=Context(fields))
        if self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error))
        return True

    def _reject(self, message: Any, exc: Exception) -> None:
        record_rejected(exc, message.headers)
        message.reject_log_error(log, self.connection_errors)
        signals.task_rejected.send(sender=self, message=message, exc=exc)
