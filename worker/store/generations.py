"""Which generations belong to our jobs, for reconciling triggers whose answer was lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import redis

    from worker.store.keys import Keys


MAX_RECORDS = 100  # of one request


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenIntent:
    """A job whose trigger is unresolved."""

    job_id: str
    #: When the intent was recorded, epoch seconds.
    at: float
    #: The model that the job's request names.
    model_id: str | None
    #: Whether the record of the job still exists.
    has_record: bool = True


class Generations:
    """Reads the generations, and the models in training, that PhotoGPT has returned for our jobs."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Use one client and the keys of one namespace."""
        self._client: Any = client
        self._keys = keys

    def between(self, start: float, end: float) -> list[str]:
        """Return the generations that our jobs got between two times in epoch seconds."""
        found = self._client.zrangebyscore(self._keys.generations, start, end)
        return [name for name in found if not name.startswith("model:")]

    def open_intents(self, start: float, end: float = math.inf) -> Iterator[OpenIntent]:
        """Yield the unresolved intents of between two times in epoch seconds, those of ended jobs included.

        The records are read in batches, so that a caller who stops early saves requests. A job that got its answer
        before its record was read is left out.
        """
        recorded: list[tuple[str, float]] = []
        # the second one last: the intent of a job that ends between the two requests moves there
        for key in (self._keys.intents, self._keys.ended_intents):
            recorded += self._client.zrangebyscore(key, start, end, withscores=True)
        for first in range(0, len(recorded), MAX_RECORDS):
            batch = recorded[first : first + MAX_RECORDS]
            pipeline = self._client.pipeline(transaction=False)
            for job_id, _ in batch:
                pipeline.hmget(self._keys.job(job_id), "id", "intent_at", "model_id")
            for (job_id, at), (record, intent_at, model_id) in zip(batch, pipeline.execute(), strict=True):
                if record is None:
                    yield OpenIntent(job_id=job_id, at=float(at), model_id=None, has_record=False)
                elif intent_at is not None:
                    yield OpenIntent(job_id=job_id, at=float(intent_at), model_id=model_id)

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Return those that belong to no job of ours, as far as Redis knows; `model:<id>` stands for a training."""
        wanted = list(ids)
        scores = self._client.zmscore(self._keys.generations, wanted) if wanted else []
        return [name for name, score in zip(wanted, scores, strict=True) if score is None]
