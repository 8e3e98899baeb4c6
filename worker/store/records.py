"""The values that `Jobs` takes and returns, besides those of the domain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """The job is stored."""


@dataclass(frozen=True, slots=True)
class JobKnown:
    """A job with this id was accepted before; `digest` is that of its body."""

    digest: str


@dataclass(frozen=True, slots=True)
class KeyConflict:
    """The idempotency key belongs to another job with another body; `owner` is that job's id."""

    owner: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultUpdate:
    """A write to Celery's result backend, which the scripts make together with that to the job."""

    key: str
    #: Seconds.
    ttl: int
    #: The message for those who wait in `AsyncResult.get()`; '' for no write.
    text: str
    #: The value of the key while the job is under way.
    kept: str = ""


NO_UPDATE = ResultUpdate(key="", ttl=0, text="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The job ended just now."""

    #: The message to send so that Celery stores the result, as JSON, or '' for the default one; None if the result is
    #: stored already.
    continuation: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long things are kept."""

    #: Seconds from the end of a job.
    record_s: int
    #: Seconds from the acceptance of a job.
    idempotency_s: int
    #: Entries of the stream of all jobs.
    events_max_length: int
