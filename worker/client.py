"""Enqueue with a receipt: the job is in the ledger before `submit` returns.

    from worker.client import Client

    client = Client("redis://…")
    job = client.submit("image", {"modelID": "nanobanana", "prompt": "A quiet harbour at dawn"})
    outcome = job.wait(timeout=300)

A bare `send_task` is as safe as the broker that carries it. This client writes the job down first and sends a message
second, so a message that gets lost costs seconds: any worker sees that the job waits. Bad arguments raise here. Where
Redis' answer got lost, the job may be there or not: `Unacknowledged` tells its id, and a repeat under that is one job.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Self

import redis

from config.celery import celery_options
from config.settings import Settings, load_settings
from worker.domain.errors import SubmissionError
from worker.domain.job import JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.domain.submission import Limits, new_job, parse_submission
from worker.queue.publisher import CeleryPublisher
from worker.store import keys
from worker.store.connection import open_store
from worker.store.records import JobKnown, KeyConflict

BLOCK_MS = 2000  # below the client's socket timeout


class WaitTimeout(TimeoutError):
    """The job had not ended in time. It goes on; wait again whenever you like."""


class Unacknowledged(redis.ConnectionError, redis.TimeoutError):
    """Redis did not answer: whether the job was written down is not known. Nothing is, but by a repeat under its id.

    Attributes:
        job_id: submit the same again with it, as often as it takes: one job, paid once.
    """

    def __init__(self, job_id: str, why: object) -> None:
        """Name the job and what came instead of an answer."""
        super().__init__(
            f"job {job_id} may have been written down, or not: {why}; submit it again with job_id={job_id!r}"
        )
        self.job_id = job_id


class SubmittedJob:
    """A job that is in the ledger."""

    def __init__(self, client: Client, job_id: str) -> None:
        """Name it by its id."""
        self._client = client
        self.id = job_id

    def outcome(self) -> Outcome | None:
        """Return the outcome so far, or None when the record is gone."""
        return self._client.store.jobs.outcome(self.id)

    def wait(self, timeout: float | None = None) -> Outcome:
        """Return the outcome once the job has ended, however it ended. A late call misses nothing.

        Raises:
            WaitTimeout: `timeout` seconds have passed.
        """
        ends = time.monotonic() + timeout if timeout is not None else None
        last = "0-0"
        while ends is None or time.monotonic() < ends:
            left = BLOCK_MS if ends is None else max(1, min(BLOCK_MS, int(1000 * (ends - time.monotonic()))))
            answer: Any = self._client.store.client.xread({keys.events(self.id): last}, block=left)
            for _, entries in answer or ():
                for last, event in entries:  # noqa: B007 - where the next read goes on
                    if "data" in event:
                        outcome: Outcome = json.loads(event["data"])
                        return outcome
        raise WaitTimeout(f"job {self.id} has not ended within {timeout:g} s")


class Client:
    """Submits jobs. Needs Redis only; opens nothing until it is used."""

    def __init__(self, redis_url: str | None = None, *, settings: Settings | None = None) -> None:
        """Use a Redis URL, or the settings of the environment."""
        from celery import Celery  # noqa: PLC0415 - producers without messages never need it
        from kombu import pools  # noqa: PLC0415 - the same

        given = {"redis_url": redis_url} if redis_url else {}
        self._settings = settings or load_settings(**given)
        self._app = Celery("photogpt-client", set_as_current=False)
        # kombu has one limit of connections for the whole process: the host's own Celery app may need it as it is
        self._app.conf.update(celery_options(self._settings) | {"broker_pool_limit": pools.get_limit()})
        self.store = open_store(self._settings, CeleryPublisher(self._app).publish_tick)

    def submit(self, kind: str, request: JsonObject, *, job_id: str | None = None, **options: Any) -> SubmittedJob:
        """Write a job down and wake a worker.

        Args:
            kind: `image`, `upscale`, `video` or `training`.
            request: the body PhotoGPT gets.
            job_id: of your choice; the same one twice is one job.
            options: `webhook_url`, `webhook_events`, `metadata`, `deadline_s`, `idempotency_key`.

        Raises:
            SubmissionError: names the argument that cannot be used, or the job that has the idempotency key.
            Unacknowledged: Redis did not answer; submit it again with the `job_id` that this names.
            redis.RedisError: any other; nothing was written down.
        """
        what = Kind(kind)
        limits = Limits(metadata_max_bytes=self._settings.metadata_max_bytes)  # where webhooks may go, workers know
        kwargs = {"request": request, **options}
        submission = parse_submission(what, [], kwargs, limits)
        at = self.store.clock()
        job = new_job(job_id or str(uuid.uuid4()), what, submission, settings=self._settings, at=at, result={})
        try:
            answer = self.store.jobs.accept(job, digest=submission.digest)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise Unacknowledged(job.id, error) from error
        match answer:
            case KeyConflict(owner):
                raise SubmissionError(field="idempotency_key", problem=f"belongs to job {owner}, with another request")
            case JobKnown(digest) if digest != submission.digest:
                raise SubmissionError(field="job_id", problem=f"job {job.id} exists, with another request")
        return SubmittedJob(self, job.id)

    def job(self, job_id: str) -> SubmittedJob:
        """Return a job that was submitted before, here or elsewhere."""
        return SubmittedJob(self, job_id)

    def close(self) -> None:
        """Close every connection."""
        self.store.close()
        self._app.close()

    def __enter__(self) -> Self:
        """Use the client in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


__all__ = ["Client", "SubmissionError", "SubmittedJob", "Unacknowledged", "WaitTimeout"]
