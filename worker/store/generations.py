"""Which generations belong to our jobs, for reconciling triggers whose answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis

    from worker.store.keys import Keys


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

    def intents_since(self, at: float) -> list[str]:
        """Return the ids of jobs with an unresolved intent of epoch second `at` or later."""
        return list(self._client.zrangebyscore(self._keys.intents, at, "+inf"))

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Return those that belong to no job of ours, as far as Redis knows; `model:<id>` stands for a training."""
        wanted = list(ids)
        scores = self._client.zmscore(self._keys.generations, wanted) if wanted else []
        return [name for name, score in zip(wanted, scores, strict=True) if score is None]
