"""Messages in hand of a worker on Redis: recorded as unacked, acknowledged, and restored when a worker died.

kombu's own class makes the consumer's loop wait for one answer of Redis to record a message, for one to acknowledge it
and for three each time it restores the messages of dead workers. 300 ms away from Redis, a burst of 10 jobs took 25 s.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from celery.worker import state
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.queue.rejected import MalformedMessage, record_rejected
from worker.store.scripts import Script
from worker.telemetry.health import health
from worker.telemetry.labels import LoopPart
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage

RETRY_IN_S = 1.0
STOP_CHECK_S = 0.1  # how soon a waiting thread notices that the worker stops
MAX_TAKEN = 100  # messages with one command of Redis, which serves nobody else during it
CLOSE_WITHIN_S = 5.0  # of a lost connection, whose acknowledgements wait for a timeout

BROKER_ERRORS: tuple[type[Exception], ...] = (
    *kombu_redis.Transport.connection_errors,
    *kombu_redis.Transport.channel_errors,
)

log = logging.getLogger(__name__)


def wait_before_retry() -> bool:
    """Wait `RETRY_IN_S`; return False at once when the worker stops. The waiting consumer is no fault of its loop."""
    health.beat(LoopPart.CONSUMER)
    ends_at = time.monotonic() + RETRY_IN_S
    while time.monotonic() < ends_at:
        if any(getattr(state, name) is not None for name in ("should_stop", "should_terminate")):
            return False
        time.sleep(STOP_CHECK_S)
    return True


def _until_recorded(record: Callable[[], Any]) -> Any:
    """Record messages as unacked, again and again until Redis accepts that.

    Raises:
        redis.RedisError: the worker stops.
    """
    outage = Outage(
        "message.unrecorded",
        "message.recorded",
        message="cannot record a message as unacked; it stays in this worker until Redis accepts it",
        recovered="the message is recorded as unacked",
    )
    while True:
        try:
            result = record()
        except BROKER_ERRORS as error:
            outage.report(error)
            if not wait_before_retry():
                event("message.lost", "the worker stopped with a message that Redis did not accept", warn=True)
                raise
        else:
            outage.resolve()
            return result


class RetryingQoS(kombu_redis.QoS):
    """Retries recording a message as unacked until Redis accepts it; otherwise the message could be lost.

    Acknowledging and restoring run in one thread, so that the consumer's loop does not wait for Redis.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; the thread starts when it is needed."""
        super().__init__(*args, **kwargs)
        self._recorded = set[str]()
        self._acknowledged = deque[str]()
        self._acknowledging = False
        self._script: Script | None = None
        self._restoring: Future[None] | None = None
        self._latest: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unacked")

    def take_more(self, envelope: dict[str, Any], queue: str) -> list[tuple[bytes, str]]:
        """Record a message as unacked and take further ones of its queue, as many as the worker has room for.

        Args:
            envelope: of the message.
            queue: where it was.

        Returns:
            Each further message as its text and, if it is recorded as unacked, its delivery tag, else ''.
        """
        tag = envelope["properties"]["delivery_tag"]
        free: int | None = self.can_consume_max_estimate()  # None without a limit
        if free is None or tag in self._recorded:  # a consumer without a limit may acknowledge nothing
            return []
        room = max(0, min(free, MAX_TAKEN) - 1)
        taken: list[Any] = _until_recorded(lambda: self._take(envelope, tag, queue, room))
        found = [(message, message_tag.decode()) for message, message_tag in taken]
        self._recorded.update((tag, *(each for _, each in found if each)))
        return found

    def _take(self, envelope: dict[str, Any], tag: str, queue: str, room: int) -> Any:
        channel: Any = self.channel
        with _lost_connection(), channel.conn_or_acquire() as client:
            return self._take_script(client)(
                client=client,
                index=self.unacked_index_key,
                unacked=self.unacked_key,
                list=channel._q_for_pri(queue, channel._get_message_priority(envelope, reverse=False)),  # noqa: SLF001
                tag=tag,
                record=dumps([envelope, "", queue]),
                taken_at=time.time(),
                room=room,
                destination=dumps(queue),
            )

    def _take_script(self, client: Any) -> Script:
        self._script = self._script or Script(client, "broker/take", "")
        return self._script

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message as unacked. Recording it twice does no harm."""
        if delivery_tag in self._recorded:
            self._recorded.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
            return
        record = super().append
        _until_recorded(lambda: record(message, delivery_tag))

    def holds(self, delivery_tag: str | None) -> bool:
        """Whether a message is recorded as unacked."""
        return delivery_tag in self._recorded or delivery_tag in (self._delivered or ())

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; Redis gets it soon, together with others.

        Raises:
            redis.ConnectionError: its connection is lost; the message comes again after the visibility timeout.
        """
        channel: Any = self.channel
        if channel is None or channel.connection is None:
            raise RedisConnectionError("the message's connection was closed")
        self._acknowledged.append(delivery_tag)
        if not self._acknowledging:
            self._acknowledging = True
            self._run(self._send_acknowledgements)
        self._recorded.discard(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def _send_acknowledgements(self) -> None:
        self._acknowledging = False
        tags = []
        with contextlib.suppress(IndexError):
            while True:
                tags.append(self._acknowledged.popleft())
        if not tags:
            return
        with _logged(f"cannot acknowledge {len(tags)} messages, which come again"), self.pipe_or_acquire() as pipe:
            pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's own signature
        """Reject a message; with `requeue`, return it to its queue.

        Raises:
            redis.ConnectionError: its connection is lost; the message comes again after the visibility timeout.
        """
        self._recorded.discard(delivery_tag)
        with _lost_connection():
            super().reject(delivery_tag, requeue=requeue)

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Return messages to their queue that are recorded as unacked for longer than the visibility timeout.

        kombu calls this first when a worker begins to consume, and then every few seconds.
        """
        if self._script is None:
            self._run(self._load_script)
        if self._restoring is None or self._restoring.done():
            self._restoring = self._run(self._restore_visible, start, num, interval)

    def _load_script(self) -> None:
        """Load the script, so that the first message does not wait for that."""
        channel: Any = self.channel
        with _logged("cannot load a script"), channel.conn_or_acquire() as client:
            client.script_load(self._take_script(client).text)

    def _restore_visible(self, start: int, num: int, interval: int) -> None:
        with _logged("cannot restore messages of workers that died"):
            super().restore_visible(start, num, interval)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Return a message to its queue; discard one that is not JSON, which would hold up every other."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, RecursionError) as error:
            record_rejected(MalformedMessage(f"an unacked message is not JSON: {type(error).__name__}"))
            with self.pipe_or_acquire(client=client) as pipe:
                pipe.zrem(self.unacked_index_key, tag).hdel(self.unacked_key, tag).execute()

    def finish(self) -> None:
        """Wait for what the thread has to do, before its channel closes the connections."""
        if self._latest is not None:
            wait([self._latest], timeout=CLOSE_WITHIN_S)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Send what is acknowledged, then requeue the messages in hand. kombu calls this when a channel closes."""
        wait([self._run(self._send_acknowledgements)], timeout=CLOSE_WITHIN_S)
        self._thread.shutdown(wait=False)
        super().restore_unacked_once(stderr)

    def _run(self, function: Callable[..., None], *args: Any) -> Future[None]:
        """Run a function in the thread; here if none can start, or the channel is closed."""
        try:
            self._latest = self._thread.submit(function, *args)
        except RuntimeError:
            function(*args)
            self._latest = Future()
            self._latest.set_result(None)
        return self._latest


@contextlib.contextmanager
def _lost_connection() -> Iterator[None]:
    """Raise what Celery handles where kombu raises AttributeError on a channel whose connection is lost."""
    try:
        yield
    except AttributeError as error:
        raise RedisConnectionError(f"the message's connection was closed: {error}") from error


@contextlib.contextmanager
def _logged(problem: str) -> Iterator[None]:
    """Log an error of the broker; the log's filter reports an unavailable Redis once."""
    try:
        with _lost_connection():
            yield
    except BROKER_ERRORS:
        log.warning(problem, exc_info=True)
