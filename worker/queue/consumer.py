"""Celery's consumer, steadied against a broker that goes away or refuses, and relieved of what costs most.

Four faults, each with a test in `tests/integration/redis_faults` or `tests/contract` that fails without its mending here:

- When Redis goes away while a worker holds a message, Celery 5.7.0 closes its channel twice and dies of an
  AttributeError (`celery/worker/consumer/consumer.py`, `on_connection_error_after_connected`); 5.6 does not. What the
  early return skips is the optional cancelling of long tasks only.
- kombu takes a message from Redis' list with one command and notes with a second one that it is under way. If Redis
  refuses or loses that one (READONLY, OOM, gone), the message is nowhere: `RetryingQoS` holds it until it is noted.
- A message that is acknowledged late may outlive its connection. kombu then raises an AttributeError in the worker's
  event loop, which ends the worker; `RetryingQoS` says ConnectionError, which Celery bears. The message comes again.
- A broker that takes connections and refuses writes is connected to again without a pause, some hundred times a second.
"""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer import consumer as celerys
from kombu.transport import redis as transport

from worker.queue.strategy import accept_first, reuse_clients
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage

PAUSE_S = 1.0  # between two attempts
MAX_PAUSE_S = 5.0  # between two attempts to connect, after a few of them
GATHER_S = 0.05  # messages that are done with within it are crossed out together
MAX_DONE = 200
MAX_EVENTS = 500  # for Flower, kept for a second at most; Celery's own 24 make a message of each few jobs
STEP_S = 0.1  # how soon a worker that is told to stop does
SAID_BY_US = "%s (%r)"  # Celery's line on a lost connection: once an attempt
QUOTING = frozenset(
    getattr(celerys, name)
    for name in ("UNKNOWN_FORMAT", "UNKNOWN_TASK_ERROR", "INVALID_TASK_ERROR", "MESSAGE_DECODE_ERROR")
)
"""Celery's lines on a message that it cannot use; they quote all of it, prompts and addresses too."""


UNREACHED: tuple[type[Exception], ...] = (
    *transport.Transport.connection_errors,
    *transport.Transport.channel_errors,
    AttributeError,  # what kombu raises on a channel that was closed
)


def pause() -> bool:
    """Wait a moment; whether the worker goes on."""
    ends = time.monotonic() + PAUSE_S
    while time.monotonic() < ends:
        if any(getattr(state, name) is not None for name in ("should_stop", "should_terminate")):
            return False
        time.sleep(STEP_S)
    return True


def _may_be_said(record: logging.LogRecord) -> bool:
    """Whether Celery's line may stand: no attempt to connect that we tell of, no message that it quotes whole."""
    if record.msg in QUOTING:
        why = record.args[0] if isinstance(record.args, tuple) and record.args else None
        said = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else "its form is not Celery's"
        event("message.rejected", f"a message was thrown away: {said[:200]}", warn=True)
        return False
    return not record.msg.startswith(SAID_BY_US)


class RetryingQoS(transport.QoS):
    """Notes what is under way, and lets no message go before Redis has taken the note. Noting twice does no harm.

    What is done with is crossed out in batches, as the loop goes round. A worker that is killed before leaves messages
    that come again; whoever handles them knows the job by then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with nothing noted."""
        super().__init__(*args, **kwargs)
        self._done: deque[str] = deque()
        self._cross_out_at = 0.0

    def ack(self, delivery_tag: str) -> None:
        """Be done with a message; any thread."""
        if not self._done:
            self._cross_out_at = max(self._cross_out_at, time.monotonic() + GATHER_S)
        self._done.append(delivery_tag)
        super(transport.QoS, self).ack(delivery_tag)

    def can_consume(self) -> bool:
        """Cross out what is done with, if it is time; the loop asks each time round."""
        if self._done and (time.monotonic() > self._cross_out_at or len(self._done) >= MAX_DONE):
            self._cross_out()
        return bool(super().can_consume())

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Cross out what is done with, and hand back the rest."""
        self._cross_out()
        super().restore_unacked_once(stderr)

    def _cross_out(self) -> None:
        tags = [self._done.popleft() for _ in range(len(self._done))]
        if not tags:
            return
        try:
            channel: Any = self.channel
            with channel.conn_or_acquire() as client:
                pipeline = client.pipeline(transaction=False)
                pipeline.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()
        except UNREACHED:
            self._done.extendleft(tags)  # the broker is away or refuses: others say so
            self._cross_out_at = time.monotonic() + PAUSE_S

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note one message."""
        outage = Outage(
            "message.unrecorded",
            "message.recorded",
            message="cannot record a message as unacked; it stays in this worker until Redis accepts it",
            recovered="the message is recorded as unacked",
        )
        while True:
            try:
                super().append(message, delivery_tag)
            except (*transport.Transport.connection_errors, *transport.Transport.channel_errors) as error:
                outage.report(error)
                if not pause():
                    event("message.lost", "stopped with a message that Redis never took back", warn=True)
                    raise
            else:
                outage.resolve()
                return

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's own signature
        """Take the note away, and put the message back if asked to."""
        with _connected():
            super().reject(delivery_tag, requeue=requeue)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Call a connection that was closed meanwhile what it is."""
    try:
        yield
    except AttributeError as error:
        client: Any = transport.redis  # type: ignore[attr-defined]  # kombu's own import
        raise client.ConnectionError(f"the message's connection was closed ({error}); it comes again") from error


class ResilientConsumer(Consumer):
    """Survives the loss of its broker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; nothing is connected yet."""
        super().__init__(*args, **kwargs)
        transport.Channel.QoS = RetryingQoS
        reuse_clients()
        logging.getLogger(Consumer.__module__).addFilter(_may_be_said)
        warnings.simplefilter("ignore", CPendingDeprecationWarning)  # of an option that threads cannot use
        self.gone: tuple[type[BaseException], ...] = self.app.connection_for_read().connection_errors
        self._outage = Outage(
            "broker.unavailable",
            "broker.recovered",
            message="the broker is unavailable; the worker connects again until it is back",
            recovered="the broker is back",
        )

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it stands. Celery's own pauses grow to 30 s: too long for what waits."""
        conn.ensure_connection(
            lambda exc, _: self._outage.report(exc),
            interval_start=PAUSE_S,
            interval_step=PAUSE_S,
            interval_max=MAX_PAUSE_S,
            callback=state.maybe_shutdown,
        )
        self.first_connection_attempt = False
        return conn

    def on_ready(self) -> None:
        """Connected, and about to consume."""
        self._outage.resolve()
        dispatcher = getattr(self, "event_dispatcher", None)
        if dispatcher:
            dispatcher.buffer_limit = MAX_EVENTS
        super().on_ready()

    def update_strategies(self) -> None:
        """Let tasks that may leave at once do so."""
        super().update_strategies()
        for task in self.app.tasks.values():
            if hasattr(task, "leaves"):
                task.__trace__ = accept_first(task, task.__trace__)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Say so, and let the broker breathe; the caller connects again."""
        self._outage.report(exc)
        pause()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Clean up as far as it goes; the caller connects again."""
        self._outage.report(exc)
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            event("broker.unavailable", f"Celery closed the dead connection twice ({error}); that does no harm")
        if not isinstance(exc, self.gone):
            pause()  # it is there, and refuses
