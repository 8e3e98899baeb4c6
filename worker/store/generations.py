"""Which generations belong to our jobs, for reconciling triggers whose answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.store import keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis


class Generations:
    """Reads the generations, and the models in training, that PhotoGPT has returned for our jobs."""

    def __init__(self, client: redis.Redis) -> None:
        """Use one client."""
        self._client: Any = client

    def between(self, start: float, end: float) -> list[str]:
        """Return the generations that our jobs got between two times in epoch seconds."""
        found = self._client.zrangebyscore(keys.GENERATIONS, start, end)
        return [name for name in found if not name.startswith("model:")]

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Return those that belong to no job of ours, as far as Redis knows; `model:<id>` stands for a training."""
        wanted = list(ids)
        scores = self._client.zmscore(keys.GENERATIONS, wanted) if wanted else []
        return [name for name, score in zip(wanted, scores, strict=True) if score is None]
