"""Reading the ledger of webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from worker.domain.endpoint import endpoint_of
from worker.domain.job import JsonObject
from worker.domain.times import rfc3339
from worker.store import keys
from worker.store.keys import Lane

if TYPE_CHECKING:
    import redis

BATCH = 200
ENDED = {"delivered": keys.DELIVERED, "dead": keys.DEAD}
STATES = ("pending", *ENDED)


class History:
    """The ledger of webhooks, as it stands."""

    def __init__(self, client: redis.Redis) -> None:
        """Use one client."""
        self._client: Any = client  # redis-py's answers are typed for two clients at once

    def url_of(self, delivery_id: str) -> str | None:
        """Return where a webhook goes, or None if it is not known."""
        url: str | None = self._client.hget(keys.delivery(delivery_id), "url")
        return url

    def of_job(self, job_id: str) -> list[JsonObject]:
        """Return a job's webhooks with their attempts, without the bodies."""
        return list(self._read(sorted(self._client.smembers(keys.deliveries(job_id)))))

    def get(self, delivery_id: str) -> JsonObject | None:
        """Return one webhook with its attempts and its body, or None."""
        record = self._client.hgetall(keys.delivery(delivery_id))
        if not record:
            return None
        return _readable(record) | {"next_attempt_at": self._next(delivery_id), "body": json.loads(record["body"])}

    def listed(
        self,
        *,
        state: str | None = None,
        endpoint: str | None = None,
        job: str | None = None,
        since: float = 0,
        limit: int = 100,
    ) -> list[JsonObject]:
        """Return webhooks with their attempts, those first to which something happened last.

        Args:
            state: `pending`, `delivered` or `dead`; or any.
            endpoint: the id of one; or any.
            job: the id of one; or any.
            since: epoch seconds: when it ended, or was made.
            limit: how many at most.
        """
        listed: list[JsonObject] = []
        for ids in [sorted(self._client.smembers(keys.deliveries(job)))] if job else self._ids(state, endpoint, since):
            for shown in self._read(ids):
                asked_for = state in {None, shown["state"]} and endpoint in {None, shown["endpoint"]}
                if asked_for and max([shown["created"], *(found["at"] for found in shown["attempts"])]) >= rfc3339(
                    since
                ):
                    listed.append(shown)
                if len(listed) == limit:
                    return listed
        return listed

    def in_trouble(self, *, since: float, endpoint: str | None = None) -> Iterator[tuple[str, str]]:
        """Return ids and URLs of webhooks that were given up since then, and of those that failed or were put off.

        Those first that have waited longest.
        """
        dead = self._client.zrangebyscore(keys.DEAD, since, "+inf")
        waiting = self._client.zrange(keys.lane(Lane.REDELIVERIES), 0, -1)
        for ids in _batches([*dead, *waiting]):
            pipeline = self._client.pipeline(transaction=False)
            for delivery_id in ids:
                pipeline.hmget(keys.delivery(delivery_id), "url", "state", "attempts", "put_off", "created")
            for delivery_id, (url, state, attempts, put_off, created) in zip(ids, pipeline.execute(), strict=True):
                if url is None or endpoint not in {None, endpoint_of(url).id}:
                    continue
                waits = state == "pending" and (attempts != "0" or put_off is not None)
                if state == "dead" or (waits and float(created) >= since):
                    yield delivery_id, url

    def _ids(self, state: str | None, endpoint: str | None, since: float) -> Iterator[list[str]]:
        """Return the ids of candidates, a batch at a time, each list newest first."""
        lists = [keys.endpoint_deliveries(endpoint)] if endpoint else [ENDED[state]] if state in ENDED else []
        if not endpoint and state in {None, "pending"}:
            lists += map(keys.lane, (Lane.DELIVERIES, Lane.REDELIVERIES))
        if not endpoint and state is None:
            lists += ENDED.values()
        for name in lists:
            oldest = since if name in ENDED.values() else 0  # what waits has the time when it is due
            yield from _batches(self._client.zrevrangebyscore(name, "+inf", oldest))

    def _read(self, ids: list[str]) -> Iterator[JsonObject]:
        pipeline = self._client.pipeline(transaction=False)
        for delivery_id in ids:
            pipeline.hgetall(keys.delivery(delivery_id))
        yield from (_readable(record) for record in pipeline.execute() if record)

    def _next(self, delivery_id: str) -> str | None:
        pipeline = self._client.pipeline(transaction=False)
        for lane in (Lane.DELIVERIES, Lane.REDELIVERIES):
            pipeline.zscore(keys.lane(lane), delivery_id)
        due = [score for score in pipeline.execute() if score is not None]
        return rfc3339(due[0]) if due else None


def _batches(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _readable(record: dict[str, str]) -> JsonObject:
    last = int(record["attempts"])
    kept = (record.get(f"attempt:{number}") for number in range(1, last + 1))
    return {
        "id": record["id"],
        "type": record["type"],
        "job": record["job"],
        "url": record["url"],
        "endpoint": endpoint_of(record["url"]).id,
        "state": record["state"],
        "created": rfc3339(float(record["created"])),
        "skipped": int(record.get("skipped", 0)),
        "attempts": [json.loads(attempt) for attempt in kept if attempt],
    }
