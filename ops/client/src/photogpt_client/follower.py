"""One thread that reads the streams of all jobs for which someone waits, and hands their events on.

A connection for each waiter would exhaust the pool. Here 1,000 waiters share one connection, and an outage of Redis is
survived: the thread goes on behind the last event that it has handed on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from photogpt_client.errors import JobGone, PhotoGPTError, RedisUnavailable
from photogpt_client.transport import START, StreamEntry, Transport

BLOCK_S = 0.25  # of a read; a new subscriber waits for it at most
CHECK_S = 5.0  # between two checks whether a quiet job still exists
CHECK_INBOX_S = 0.5  # while no worker has accepted it
MAX_RETRY_S = 1.0  # between two attempts during an outage


@dataclass(frozen=True, slots=True)
class Topic:
    """A job or batch that can be followed."""

    #: For errors: `job 3f1c…`.
    name: str
    stream: str
    record: str
    #: A field of the record that is set at the end.
    end_field: str
    #: Text that the JSON of its entry contains.
    mark: str
    #: The entry of the inbox, where it is known.
    entry_id: str | None = None


@dataclass(eq=False, slots=True)
class Subscription:
    """What one waiter waits for. `put` gets entries, then None at the end where no last event came, or an error."""

    topic: Topic
    put: Callable[[StreamEntry | PhotoGPTError | None], None]
    last: str = START
    check_at: float = 0.0
    #: The record says that it has ended, so that its last event must be in the stream.
    ended: bool = False
    entry_id: str | None = field(default=None)

    def __post_init__(self) -> None:
        """Take the entry of the topic."""
        self.entry_id = self.topic.entry_id


class Follower:
    """Follows topics in a thread that starts with the first subscription."""

    def __init__(self, transport: Transport) -> None:
        """Prepare; no thread and no connection yet."""
        self._transport = transport
        self._begin()

    def _begin(self) -> None:
        """Begin without subscriptions."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._subscriptions: dict[Subscription, None] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def _check_process(self) -> None:
        """Begin anew in a process that was forked: its parent's thread is not there, and may have held the lock."""
        if self._pid != os.getpid():
            self._begin()

    def subscribe(self, subscription: Subscription) -> Subscription:
        """Hand on the events of a topic, from `subscription.last` on."""
        self._check_process()
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            self._subscriptions[subscription] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="photogpt-client", daemon=True)
                self._thread.start()
            self._changed.notify()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Hand on no more events."""
        self._check_process()
        with self._changed:
            self._subscriptions.pop(subscription, None)

    def close(self) -> None:
        """End the thread; every call that still waits gets an error."""
        self._check_process()
        with self._changed:
            self._is_closed = True
            left, self._subscriptions = list(self._subscriptions), {}
            self._changed.notify()
        for subscription in left:
            subscription.put(PhotoGPTError("the client was closed"))
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * BLOCK_S)

    def _run(self) -> None:
        retry_s = 0.05
        while current := self._wait_for_subscriptions():
            try:
                self._read(current)
                self._check([each for each in current if each.check_at <= time.monotonic()])
                retry_s = 0.05
            except RedisUnavailable:
                time.sleep(retry_s)
                retry_s = min(2 * retry_s, MAX_RETRY_S)
            except Exception as error:  # noqa: BLE001 - a waiter must get every error
                self._fail(current, error)

    def _wait_for_subscriptions(self) -> list[Subscription]:
        with self._changed:
            self._changed.wait_for(lambda: self._subscriptions or self._is_closed)
            return list(self._subscriptions)

    def _read(self, current: list[Subscription]) -> None:
        """Read all streams, each from the oldest position of its subscribers, and hand on what is new to each."""
        by_stream: dict[str, list[Subscription]] = {}
        for each in current:
            by_stream.setdefault(each.topic.stream, []).append(each)
        after = {stream: min((each.last for each in group), key=position) for stream, group in by_stream.items()}
        is_urgent = any(not each.check_at or each.ended for each in current)
        for stream, entries in self._transport.read(after, 0 if is_urgent else BLOCK_S).items():
            for each in by_stream[stream]:
                self._hand_on(each, entries)

    def _hand_on(self, subscription: Subscription, entries: Sequence[StreamEntry]) -> None:
        for entry in entries:
            if position(entry[0]) <= position(subscription.last):
                continue
            subscription.last = entry[0]
            subscription.check_at = time.monotonic() + CHECK_S
            subscription.ended = False
            if not self._put(subscription, entry) or "data" in entry[1]:
                self.unsubscribe(subscription)
                return

    def _check(self, due: list[Subscription]) -> None:
        """Find jobs that have ended without an event, and those of which nothing is left."""
        due = [each for each in due if each in self._subscriptions]
        if not due:
            return
        missing = self._without_record(due)
        waiting = self._in_inbox(missing)
        for each in self._without_record([each for each in missing if each not in waiting]):
            self._end(each, JobGone(f"{each.topic.name} is unknown, or its record has expired"))

    def _without_record(self, due: list[Subscription]) -> list[Subscription]:
        if not due:
            return []
        fields = sorted({"id", *(each.topic.end_field for each in due)})
        records = self._transport.records([each.topic.record for each in due], fields)
        for each, record in zip(due, records, strict=True):
            if each.topic.end_field in record:
                self._on_ended(each)
            elif record:
                each.check_at = time.monotonic() + CHECK_S
        return [each for each, record in zip(due, records, strict=True) if not record]

    def _on_ended(self, subscription: Subscription) -> None:
        """Read once more: the last event was written together with the end. Without one, the record must do."""
        if subscription.ended:
            self._end(subscription, None)
        subscription.ended = True
        subscription.check_at = time.monotonic()

    def _in_inbox(self, missing: list[Subscription]) -> set[Subscription]:
        """Return those whose entry no worker has accepted yet."""
        unplaced = [each for each in missing if each.entry_id is None]
        if unplaced:
            found = self._transport.find([each.topic.mark for each in unplaced])
            for each in unplaced:
                each.entry_id = found.get(each.topic.mark)
        placed = [each for each in missing if each.entry_id is not None]
        held = self._transport.held([str(each.entry_id) for each in placed]) if placed else []
        waiting = {each for each, is_held in zip(placed, held, strict=True) if is_held}
        for each in placed:
            each.check_at = time.monotonic() + CHECK_INBOX_S
        return waiting

    def _end(self, subscription: Subscription, answer: PhotoGPTError | None) -> None:
        self.unsubscribe(subscription)
        self._put(subscription, answer)

    def _put(self, subscription: Subscription, answer: StreamEntry | PhotoGPTError | None) -> bool:
        """Hand something on. An entry that cannot be read ends its own wait and no other."""
        try:
            subscription.put(answer)
        except Exception as error:  # noqa: BLE001 - of the waiter
            subscription.put(PhotoGPTError(f"an event of {subscription.topic.name} cannot be read: {error!r}"))
            return False
        return True

    def _fail(self, current: Iterable[Subscription], error: Exception) -> None:
        known = error if isinstance(error, PhotoGPTError) else PhotoGPTError(f"following jobs failed: {error!r}")
        for each in current:
            self._end(each, known)


def position(entry_id: str) -> tuple[int, int]:
    """Return an entry's id in the order of the stream."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
