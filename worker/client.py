"""Submit jobs with a receipt: the job is stored in Redis before `submit` returns.

    from worker.client import Client

    client = Client("redis://…")
    job = client.submit("image", {"modelID": "nanobanana", "prompt": "A quiet harbour at dawn"})
    outcome = job.wait(timeout=300)

A job sent with `send_task` is as safe as the broker that carries its message. This client stores the job first and
sends a message second, so a lost message costs seconds: any worker finds the job. Invalid arguments raise here. Where
Redis' answer is lost, the job may be stored or not: `Unacknowledged` has its id, to submit it again.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Self, cast

import redis

from config.celery import celery_options
from config.settings import Settings, load_settings
from worker.domain.errors import SubmissionError
from worker.domain.job import JsonObject, Kind
from worker.domain.json_values import json_value
from worker.domain.new_job import JobDefaults, new_job
from worker.domain.outcome import Outcome
from worker.domain.submission import SubmissionLimits, parse_submission
from worker.queue.publisher import CeleryPublisher
from worker.store.connection import open_store
from worker.store.job_history import STREAM_START
from worker.store.records import JobKnown, KeyConflict
from worker.telemetry.traces import read_traceparent

BLOCK_S = 2.0  # below the client's socket timeout


class WaitTimeout(TimeoutError):
    """The job has not ended within the timeout. It goes on; `wait` can be called again."""


class Unacknowledged(redis.ConnectionError, redis.TimeoutError):
    """Redis did not answer, so the job may be stored or not. Submit it again with its id to find out.

    Attributes:
        job_id: submit the same request again with it, as often as needed: it is one job, paid once.
    """

    def __init__(self, job_id: str, why: object) -> None:
        """Name the job and the error."""
        super().__init__(f"job {job_id} may be stored or not: {why}; submit it again with job_id={job_id!r}")
        self.job_id = job_id


class SubmittedJob:
    """A job that is stored in Redis."""

    def __init__(self, client: Client, job_id: str) -> None:
        """Refer to a job by its id."""
        self._client = client
        self.id = job_id

    def outcome(self) -> Outcome | None:
        """Return the outcome so far, or None if the record has expired."""
        return self._client.store.jobs.outcome(self.id)

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait until the job has ended, and return its outcome. It may have ended before the call.

        Raises:
            WaitTimeout: `timeout` seconds have passed.
        """
        ends = time.monotonic() + timeout if timeout is not None else None
        last = STREAM_START
        while ends is None or time.monotonic() < ends:
            left = BLOCK_S if ends is None else min(BLOCK_S, ends - time.monotonic())
            for event in self._client.store.job_history.wait_for_job_events(self.id, after=last, block_s=left):
                last = event.entry
                if event.data is not None:
                    return cast("Outcome", event.data)
        raise WaitTimeout(f"job {self.id} has not ended within {timeout:g} s")


class Client:
    """Submits jobs. Needs Redis only, and connects at the first call."""

    def __init__(self, redis_url: str | None = None, *, settings: Settings | None = None) -> None:
        """Use a Redis URL, or the settings from the environment."""
        from celery import Celery  # noqa: PLC0415 - slow to import
        from kombu import pools  # noqa: PLC0415 - the same

        given = {"redis_url": redis_url} if redis_url else {}
        settings = settings or load_settings(**given)
        # No limits for webhook URLs: workers check the URL
        self._limits = SubmissionLimits(metadata_max_bytes=settings.metadata_max_bytes)
        self._defaults = JobDefaults(
            job_deadline_s=settings.job_deadline_s,
            model_deadline_s=settings.model_deadline_s,
            webhook_url=settings.webhook_url,
        )
        self._app = Celery("photogpt-client", set_as_current=False)
        # kombu's limit of connections applies to the whole process, in which another Celery app may run
        self._app.conf.update(celery_options(settings) | {"broker_pool_limit": pools.get_limit()})
        self.store = open_store(settings, CeleryPublisher(self._app).publish_tick)

    def submit(
        self,
        kind: str,
        request: JsonObject,
        *,
        job_id: str | uuid.UUID | None = None,
        traceparent: str | None = None,
        **options: Any,
    ) -> SubmittedJob:
        """Store a job, and send the message that makes a worker trigger it.

        Args:
            kind: `image`, `upscale`, `video` or `training`.
            request: the body of the request to PhotoGPT.
            job_id: an id of your choice; the same id twice is one job.
            traceparent: the span of yours under which the workers' spans of the job begin, in W3C's form.
            options: `webhook_url`, `webhook_events`, `metadata`, `deadline_s`, `not_before`, `delay_s`,
                `idempotency_key`, `tenant`.

        Raises:
            SubmissionError: names the argument that cannot be used, or the job that has the idempotency key.
            Unacknowledged: Redis did not answer; submit it again with the `job_id` of this error.
            redis.RedisError: any other error; the job is not stored.
        """
        if kind not in tuple(Kind):
            raise SubmissionError(field="kind", problem=f"{kind!r} is none of {', '.join(Kind)}")
        what, kwargs = Kind(kind), {"request": request, **options}
        submission = parse_submission(what, [], kwargs, self._limits)
        job = new_job(
            _text_id(job_id or uuid.uuid4()),
            what,
            submission,
            defaults=self._defaults,
            at=self.store.clock(),
            result_meta={},
            traceparent=read_traceparent(traceparent),
        )
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

    def job(self, job_id: str | uuid.UUID) -> SubmittedJob:
        """Return a job that was submitted before, by this client or another.

        Raises:
            SubmissionError: the id is neither text nor a UUID.
        """
        return SubmittedJob(self, _text_id(job_id))

    def close(self) -> None:
        """Close every connection."""
        self.store.close()
        self._app.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self.close()


def _text_id(job_id: object) -> str:
    name = json_value(job_id, "job_id")
    if not isinstance(name, str):
        raise SubmissionError(field="job_id", problem="must be text or a UUID")
    return name


__all__ = ["Client", "SubmissionError", "SubmittedJob", "Unacknowledged", "WaitTimeout"]
