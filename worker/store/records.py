"""Reading the ledger of jobs, and what its verbs answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.domain.job import Job
from worker.domain.outcome import Outcome
from worker.store import keys
from worker.store.codec import FIELDS, decode, decode_outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """The job is stored."""


@dataclass(frozen=True, slots=True)
class JobKnown:
    """A job with this id was accepted before; `digest` is that of its body."""

    digest: str


@dataclass(frozen=True, slots=True)
class KeyConflict:
    """The idempotency key belongs to another job with another body."""

    owner: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultUpdate:
    """What Celery's result backend shall hold of a job; the scripts write it together with the job."""

    key: str
    #: Seconds.
    ttl: int
    #: The message for those who wait in `AsyncResult.get()`.
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
    """What the settings say about how long things are kept."""

    record_s: int
    idempotency_s: int
    events_max_length: int


class Records:
    """The ledger of jobs, as it stands."""

    def __init__(self, client: redis.Redis) -> None:
        """Use one client."""
        self._client = client

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        values: Any = self._client.hmget(keys.job(job_id), list(FIELDS))
        return decode(values) if values[0] is not None else None

    def outcome(self, job_id: str) -> Outcome | None:
        """Return a job's outcome, so far or final, or None if there is no such job."""
        record: Any = self._client.hgetall(keys.job(job_id))
        return decode_outcome(record) if record else None

    def continuation(self, job_id: str) -> str | None:
        """Return the continuation stored with a job, as JSON."""
        value: Any = self._client.hget(keys.job(job_id), "continuation")
        return value or None

    def position(self, job_id: str) -> int | None:
        """Return how many jobs are before a queued one, or None if it does not wait for room."""
        rank: Any = self._client.zrank(keys.QUEUE, job_id)
        return None if rank is None else int(rank)

    def intents_since(self, at: float) -> list[str]:
        """Return the ids of jobs whose trigger has had no known answer since `at`."""
        found: Any = self._client.zrangebyscore(keys.INTENTS, at, "+inf")
        return list(found)

    def generations_between(self, start: float, end: float) -> list[str]:
        """Return the generations that PhotoGPT named to us between two times, epoch seconds."""
        found: Any = self._client.zrangebyscore(keys.GENERATIONS, start, end)
        return [name for name in found if not name.startswith("model:")]

    def unknown_generations(self, ids: Iterable[str]) -> list[str]:
        """Return those generations that no job of ours is known to have triggered."""
        wanted = list(ids)
        if not wanted:
            return []
        scores: Any = self._client.zmscore(keys.GENERATIONS, wanted)
        return [name for name, score in zip(wanted, scores, strict=True) if score is None]
