"""Batches: many jobs that are sent together, and one event when all have ended."""

from __future__ import annotations

import json
import queue
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from photogpt_client.errors import InvalidJob, PhotoGPTError, WaitTimeout
from photogpt_client.follower import Subscription, Topic
from photogpt_client.jobs import Job
from photogpt_client.new_jobs import Checked, Entry, NewJob, check, dumps
from photogpt_client.outcomes import COUNTS, BatchOutcome, read_batch
from photogpt_client.transport import StreamEntry
from photogpt_client.validation import checked_id

if TYPE_CHECKING:
    from photogpt_client.client import Client

NAMES = uuid.UUID("5f0d9c4e-7a55-4f0c-9a5e-3c0b2f6d8e11")
"""Makes the ids of jobs from the id of their batch, so that a repeated batch makes the same jobs."""

FIELDS = ("id", "total", "created_at", "finished_at", *COUNTS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job of a batch that was not sent."""

    #: Its place in what was given to `submit_many`, from 0.
    index: int
    error: InvalidJob


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch whose jobs are checked, before it is sent."""

    id: str
    entries: list[Entry]
    refused: list[Refusal]


def prepare(jobs: Iterable[NewJob], batch_id: str | uuid.UUID | None) -> Prepared:
    """Check the jobs of a batch. The same jobs with the same batch id have the same ids.

    Raises:
        InvalidJob: the batch id cannot be used.
    """
    name = checked_id("batch_id", uuid.uuid4() if batch_id is None else batch_id)
    sound: dict[str, Checked] = {}
    refused: list[Refusal] = []
    for index, job in enumerate(jobs):
        try:
            checked = check(job, default_id=str(uuid.uuid5(NAMES, f"{name}/{index}")))
            if checked.job_id in sound:
                raise InvalidJob("id", "is that of an earlier job of the batch, and one id is one job")
            sound[checked.job_id] = checked
        except InvalidJob as error:
            refused.append(Refusal(index, error))
    return Prepared(name, [checked.entry(batch=(name, len(sound))) for checked in sound.values()], refused)


class Batch:
    """Jobs that were sent together."""

    def __init__(
        self,
        client: Client,
        batch_id: str,
        jobs: Sequence[Job] = (),
        refused: Sequence[Refusal] = (),
        *,
        is_empty: bool = False,
    ) -> None:
        """Refer to a batch."""
        self.id = batch_id
        self.jobs = list(jobs)
        self.refused = list(refused)
        self._client = client
        self.is_empty = is_empty

    def wait(self, timeout: float | None = None) -> BatchOutcome:
        """Wait until every job of the batch has ended, and return how many ended in each way.

        Raises:
            WaitTimeout: `timeout` seconds have passed.
            JobGone: no batch has this id, or its record has expired.
        """
        if self.is_empty:
            return read_batch({"id": self.id, "created_at": ""})
        answers: queue.SimpleQueue[StreamEntry | PhotoGPTError | None] = queue.SimpleQueue()
        subscription = self._client.follower.subscribe(Subscription(self.topic(), answers.put))
        try:
            return self.read(answers.get(timeout=timeout))
        except queue.Empty:
            raise WaitTimeout(f"batch {self.id} has not ended within {timeout:g} s") from None
        finally:
            self._client.follower.unsubscribe(subscription)

    def topic(self) -> Topic:
        """Return what is followed while one waits for the batch."""
        key = self._client.keys.batch(self.id)
        mark = f'"batch":{{"id":{dumps(self.id)},'
        return Topic(f"batch {self.id}", f"{key}:events", key, "finished_at", mark)

    def read(self, answer: StreamEntry | PhotoGPTError | None) -> BatchOutcome:
        """Return the counts in what the follower hands on."""
        if isinstance(answer, PhotoGPTError):
            raise answer
        if answer is not None:
            return cast("BatchOutcome", json.loads(answer[1]["data"]))
        (record,) = self._client.transport.records([self._client.keys.batch(self.id)], FIELDS)
        return read_batch(record)
