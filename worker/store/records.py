"""The values that `Jobs` and `Deliveries` take and return, besides those of the domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIN_DELIVERIES_S = 2 * 86_400
"""How long a webhook is kept at least; its schedule takes about a day."""


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """The job is stored."""


@dataclass(frozen=True, slots=True)
class Unaccepted:
    """What the record of a job begins with that ends before it was accepted."""

    #: See `Jobs.accept`.
    continuation: str
    #: Of the body; '' if the body is invalid.
    digest: str


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
    """How long records are kept, and how many events."""

    #: Seconds from the end of a job.
    record_s: int
    #: Seconds from the acceptance of a job.
    idempotency_s: int
    #: Entries of the stream of all jobs.
    events_max_length: int

    @property
    def deliveries_s(self) -> int:
        """Seconds from the last change of a webhook; longer than its schedule, even if jobs are kept for less."""
        return max(MIN_DELIVERIES_S, self.record_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptReport:
    """What an attempt shows about the endpoint."""

    #: `none`: nothing was sent, or the fault is not the endpoint's.
    result: Literal["ok", "slow", "failed", "timeout", "none"] = "none"
    duration_s: float = 0
    #: The kind of the failure.
    fault: str = ""
    #: Why the endpoint is to be disabled, `gone` or `asked`; or ''.
    disable: str = ""
    #: It was made on request, besides the schedule.
    manual: bool = False
    #: A random number in [0, 1).
    random_fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class AttemptRecorded:
    """What followed from an attempt."""

    #: Why the endpoint was disabled just now: `gone`, `asked`, `failing`; or None.
    disabled: str | None
    #: Seconds for which the endpoint's circuit is open from now on; or None.
    paused_s: float | None = None
