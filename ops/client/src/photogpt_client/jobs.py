"""Jobs that were sent, for threads."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast

from photogpt_client.errors import JobGone, PhotoGPTError, WaitTimeout
from photogpt_client.follower import Subscription, Topic
from photogpt_client.new_jobs import dumps
from photogpt_client.outcomes import FIELDS, FINAL_STATES, Event, Kind, Outcome, checked, read_event, read_outcome
from photogpt_client.transport import START, StreamEntry

if TYPE_CHECKING:
    from photogpt_client.client import Client

T = TypeVar("T")
Item = Event | PhotoGPTError


class Job:
    """A job in the inbox or in Redis' records, by its id."""

    def __init__(self, client: Client, job_id: str, *, kind: Kind | None = None, entry_id: str | None = None) -> None:
        """Refer to a job."""
        self.id = job_id
        self._client = client
        self._kind = kind
        self._entry_id = entry_id
        #: The outcome, once a wait has seen it.
        self.final: Outcome | None = None

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait until the job has ended, and return its outcome, whatever its state.

        Raises:
            WaitTimeout: `timeout` seconds have passed; the job goes on.
            JobGone: no job has this id, or its record has expired.
            RedisRefused: Redis refuses the login or the command. An outage of Redis is waited for.
        """
        if self.final is None:
            for _ in self.events(timeout=timeout):
                pass
        return cast("Outcome", self.final)

    def result(self, timeout: float | None = None) -> Outcome:
        """Wait as `wait` does, and return the outcome of a job that succeeded.

        Raises:
            JobNotSucceeded: the job ended in another state; JobFailed, JobExpired or JobCanceled.
        """
        return checked(self.wait(timeout))

    def outcome(self) -> Outcome:
        """Return how far the job is, or how it ended.

        Raises:
            JobGone: no job has this id, or its record has expired.
            RedisUnavailable: Redis does not answer.
        """
        record = self._record()
        if record is None and self._is_in_inbox():
            return _queued(self.id, self._kind or "image", str(self._entry_id))
        record = record or self._record()
        if record is None:
            raise JobGone(f"job {self.id} is unknown, or its record has expired")
        if record["state"] in FINAL_STATES:
            self.final = record
        return record

    def events(self, *, after: str = START, timeout: float | None = None) -> Iterator[Event]:
        """Yield the events of the job, from the first one on, until the one that ends it.

        Args:
            after: the id of an event; go on behind it.
            timeout: seconds for all events together.

        Raises:
            WaitTimeout, JobGone, RedisRefused: as in `wait`.
        """
        items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        stop = self.follow(items.put, after)
        ends = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                item = next_of(items, ends, f"job {self.id}", timeout)
                if isinstance(item, PhotoGPTError):
                    raise item
                yield item
                if item.outcome is not None:
                    return
        finally:
            stop()

    def cancel(self) -> None:
        """Ask that the job is canceled. PhotoGPT has no cancel: what was triggered goes on there and is charged."""
        self._client.cancel(self.id)

    def follow(self, put: Callable[[Item], None], after: str = START) -> Callable[[], None]:
        """Hand the events of the job to `put`, and return how to stop that."""
        subscription = Subscription(self._topic(), lambda answer: put(self._item(answer)), last=after)
        self._client.follower.subscribe(subscription)
        return lambda: self._client.follower.unsubscribe(subscription)

    def _item(self, answer: StreamEntry | PhotoGPTError | None) -> Item:
        """Return the event for what the follower hands on; without a last event, one that is made of the record."""
        if isinstance(answer, PhotoGPTError):
            return answer
        if answer is None:
            return self._event_of_record()
        event = read_event(*answer)
        self.final = event.outcome or self.final
        return event

    def _event_of_record(self) -> Item:
        try:
            found = self.outcome()
        except PhotoGPTError as error:
            return error
        noun = "model" if found["kind"] == "training" else "job"
        return Event("", f"{noun}.{found['state']}", 4, found["finished_at"] or "", found)

    def _topic(self) -> Topic:
        key = self._client.keys.job(self.id)
        mark = f'"id":{dumps(self.id)}'
        return Topic(f"job {self.id}", f"{key}:events", key, "finished_at", mark, self._entry_id)

    def _record(self) -> Outcome | None:
        (record,) = self._client.transport.records([self._client.keys.job(self.id)], FIELDS)
        return read_outcome(record) if record else None

    def _is_in_inbox(self) -> bool:
        if self._entry_id is not None:
            return self._client.transport.held([self._entry_id])[0]
        self._entry_id = next(iter(self._client.transport.find([self._topic().mark]).values()), None)
        return self._entry_id is not None

    def __repr__(self) -> str:
        """Name the job."""
        return f"{type(self).__name__}({self.id!r})"


def next_of(items: queue.SimpleQueue[T], ends: float | None, name: str, timeout: float | None) -> T:
    """Return the next item of a queue.

    Raises:
        WaitTimeout: there is none before `ends`, by the monotonic clock.
    """
    try:
        return items.get(timeout=None if ends is None else max(0.0, ends - time.monotonic()))
    except queue.Empty:
        raise WaitTimeout(f"{name} did not end within {timeout:g} s") from None


def _queued(job_id: str, kind: Kind, entry_id: str) -> Outcome:
    """Return the outcome of a job that no worker has accepted yet."""
    created = datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC).isoformat(timespec="milliseconds")
    record = {"id": job_id, "kind": kind, "state": "queued", "created_at": created.replace("+00:00", "Z")}
    return read_outcome(record)
