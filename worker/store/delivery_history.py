"""What the command line and operators read about webhooks: their attempts, and which of them failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.domain.endpoint import endpoint_of
from worker.domain.job import JsonObject
from worker.domain.lane import Lane
from worker.domain.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from worker.store.keys import Keys

BATCH = 200
"""Records that are read at once."""

STATES = ("pending", "delivered", "dead")
WAITING = (Lane.DELIVERIES, Lane.REDELIVERIES)


class DeliveryHistory:
    """Reads webhooks for people, and for those that are sent again."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Use one client and the keys of one namespace."""
        self._client: Any = client  # redis-py types its answers for a sync and an async client at once
        self._keys = keys

    def of_job(self, job_id: str) -> list[JsonObject]:
        """Return a job's webhooks with their attempts, without the bodies."""
        return list(self._read(sorted(self._client.smembers(self._keys.deliveries(job_id)))))

    def get(self, delivery_id: str) -> JsonObject | None:
        """Return one webhook with its attempts and its body, or None."""
        record = self._client.hgetall(self._keys.delivery(delivery_id))
        if not record:
            return None
        due = self._next_attempt_at(delivery_id)
        return _readable(record) | {"next_attempt_at": due, "body": json.loads(record["body"])}

    def listed(
        self,
        *,
        state: str | None = None,
        endpoint: str | None = None,
        job: str | None = None,
        since: float = 0,
        limit: int = 100,
    ) -> list[JsonObject]:
        """Return webhooks with their attempts, without the bodies, those with the newest attempts first.

        Args:
            state: `pending`, `delivered` or `dead`; or any.
            endpoint: the id of one; or any.
            job: the id of one; or any.
            since: epoch seconds of the last attempt, or of the creation.
            limit: maximum number.
        """
        found, own = list[JsonObject](), self._keys.deliveries(job or "")
        batches = [sorted(self._client.smembers(own))] if job else self._ids(state, endpoint, since)
        for shown in (shown for ids in batches for shown in self._read(ids)):
            matches = state in {None, shown["state"]} and endpoint in {None, shown["endpoint"]}
            if matches and max([shown["created"], *(each["at"] for each in shown["attempts"])]) >= rfc3339(since):
                found.append(shown)
            if len(found) == limit:
                break
        return found

    def failed_or_deferred(self, *, since: float, endpoint: str | None = None) -> Iterator[tuple[str, str]]:
        """Return ids and URLs of dead letters since a time, and of webhooks that failed or were deferred and wait.

        The oldest come first.
        """
        dead = self._client.zrangebyscore(self._keys.dead, since, "+inf")
        waiting = self._client.zrange(self._keys.lane(Lane.REDELIVERIES), 0, -1)
        for ids in _batches([*dead, *waiting]):
            pipeline = self._client.pipeline(transaction=False)
            for delivery_id in ids:
                pipeline.hmget(self._keys.delivery(delivery_id), "url", "state", "attempts", "deferred_at", "created")
            for delivery_id, (url, state, attempts, deferred_at, created) in zip(ids, pipeline.execute(), strict=True):
                if url is None or endpoint not in {None, endpoint_of(url).id}:
                    continue
                waits = state == "pending" and (attempts != "0" or deferred_at is not None)
                if state == "dead" or (waits and float(created) >= since):
                    yield delivery_id, url

    def _ids(self, state: str | None, endpoint: str | None, since: float) -> Iterator[list[str]]:
        """Return the ids of candidates in batches, each list newest first."""
        ended = {"delivered": self._keys.delivered, "dead": self._keys.dead}
        lists = [self._keys.endpoint_deliveries(endpoint)] if endpoint else [ended[state]] if state in ended else []
        if not endpoint and state in {None, "pending"}:
            lists += map(self._keys.lane, WAITING)
        if not endpoint and state is None:
            lists += ended.values()
        for name in lists:
            oldest = since if name in ended.values() else 0  # the scores of a lane are due times
            yield from _batches(self._client.zrevrangebyscore(name, "+inf", oldest))

    def _read(self, ids: list[str]) -> Iterator[JsonObject]:
        pipeline = self._client.pipeline(transaction=False)
        for delivery_id in ids:
            pipeline.hgetall(self._keys.delivery(delivery_id))
        yield from (_readable(record) for record in pipeline.execute() if record)

    def _next_attempt_at(self, delivery_id: str) -> str | None:
        pipeline = self._client.pipeline(transaction=False)
        for lane in WAITING:
            pipeline.zscore(self._keys.lane(lane), delivery_id)
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
