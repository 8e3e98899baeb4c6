"""The ledger of webhooks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.domain.delivery import Delivery
from worker.store import keys
from worker.store.codec import dumps
from worker.store.keys import Lane
from worker.store.lanes import GAPS, Wake, wake

if TYPE_CHECKING:
    import redis

    from worker.domain.job import type_json
    from worker.store.scripts import Scripts

LIFE_S = 2 * 86_400
"""Longer than the webhook schedule, however short records are kept."""

FIELDS = ("id", "type", "url", "body", "job", "state", "attempts")
"""What a `Delivery` is read from, in the order in which claim.lua returns it."""


def decode(values: list[str | None]) -> Delivery:
    """Return the delivery whose values stand in the order of `FIELDS`."""
    name, kind, url, body, job_id, state, attempts = (value or "" for value in values)
    return Delivery(
        id=name,
        type=kind,
        url=url,
        body=body,
        job_id=job_id,
        state=state or "pending",
        attempts=int(attempts or 0),
    )


class Deliveries:
    """The ledger of webhooks."""

    def __init__(self, client: redis.Redis, scripts: Scripts, *, retention_s: int) -> None:
        """Use one client and its scripts."""
        self._client = client
        self._scripts = scripts
        self._retention_s = retention_s

    def attempted(self, delivery: Delivery, attempt: type_json, *, state: str, again_after: float = 0) -> list[Wake]:
        """Record one attempt.

        Args:
            delivery: what was tried.
            attempt: what happened, as JSON.
            state: `delivered`, `dead`, or `pending` to try again.
            again_after: seconds until then.
        """
        lane = Lane.REDELIVERIES
        answer = self._scripts.attempted(
            keys=[
                keys.delivery(delivery.id),
                keys.lane(Lane.DELIVERIES),
                keys.lane(lane),
                keys.loop(lane),
            ],
            args=[delivery.id, state, f"{again_after:.3f}", GAPS[lane], dumps(attempt), max(LIFE_S, self._retention_s)],
        )
        return wake(lane, answer)

    def of_job(self, job_id: str) -> list[type_json]:
        """Return a job's webhooks with their attempts, without the bodies."""
        ids: Any = self._client.smembers(keys.deliveries(job_id))
        pipeline = self._client.pipeline(transaction=False)
        for delivery_id in sorted(ids):
            pipeline.hgetall(keys.delivery(delivery_id))
        return [_readable(record) for record in pipeline.execute() if record]


def _readable(record: dict[str, str]) -> type_json:
    count = int(record["attempts"])
    return {
        "id": record["id"],
        "type": record["type"],
        "url": record["url"],
        "state": record["state"],
        "attempts": [json.loads(record[f"attempt:{number}"]) for number in range(1, count + 1)],
    }
