"""Webhook deliveries in Redis: their attempts, resends, and history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from worker.domain.delivery import Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.job import JsonObject
from worker.domain.lane import Lane
from worker.domain.times import rfc3339
from worker.store.codec import dumps
from worker.store.keys import ID
from worker.store.lanes import MIN_TICK_GAP_S, TickPublisher
from worker.store.records import AttemptRecorded, AttemptReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from worker.store.endpoints import EndpointLimits
    from worker.store.lanes import Tick
    from worker.store.records import Retention
    from worker.store.scripts import Scripts

MAX_ATTEMPTS = 30
"""That are kept of one webhook, which may be resent without a limit."""

BATCH = 200  # records that are read at once

STATES = ("pending", "delivered", "dead")
WAITING = (Lane.DELIVERIES, Lane.REDELIVERIES)

FIELDS = ("id", "type", "url", "body", "job", "state", "attempts", "manual", "skipped", "traceparent", "created")
"""The fields of a webhook's record that `decode` needs, in its order."""


def decode(values: list[str | None]) -> Delivery:
    """Return the delivery of a record, given the values of `FIELDS`."""
    record = {name: value or "" for name, value in zip(FIELDS, values, strict=True)}
    return Delivery(
        id=record["id"],
        type=record["type"],
        url=record["url"],
        body=record["body"],
        job_id=record["job"],
        state=record["state"] or "pending",
        attempts=int(record["attempts"] or 0),
        manual=int(record["manual"] or 0),
        skipped=int(record["skipped"] or 0),
        traceparent=record["traceparent"] or None,
        created_at=float(record["created"] or 0),
    )


ResendAnswer = Literal["scheduled", "unknown", "in_flight", "disabled"]
"""Whether a webhook was scheduled once more, or why it was not."""

NO_REPORT = AttemptReport()


class Deliveries:
    """Reads and writes webhook deliveries. Each write is one script, and safe to repeat."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        retention: Retention,
        endpoint_limits: EndpointLimits,
    ) -> None:
        """Use one client."""
        self._client: Any = client  # redis-py types its answers for a sync and an async client at once
        self._keys = scripts.keys
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._retention = retention
        self._limits = endpoint_limits

    def record_attempt(
        self,
        delivery: Delivery,
        attempt: JsonObject,
        *,
        state: str,
        retry_in_s: float = 0,
        report: AttemptReport = NO_REPORT,
    ) -> AttemptRecorded:
        """Record one attempt.

        Args:
            delivery: as it was claimed.
            attempt: what happened, as JSON.
            state: `delivered`, `dead`, or `pending` to retry.
            retry_in_s: seconds until the retry.
            report: what it shows about the endpoint.
        """
        endpoint = endpoint_of(delivery.url)
        tick, disabled, paused_s = self._scripts.record_attempt(
            delivery=self._keys.delivery(delivery.id),
            deliveries=self._keys.lane(Lane.DELIVERIES),
            redeliveries=self._keys.lane(Lane.REDELIVERIES),
            redeliveries_loop=self._keys.loop(Lane.REDELIVERIES),
            endpoint=self._keys.endpoint(endpoint.id),
            in_flight=self._keys.in_flight(endpoint.id),
            id=delivery.id,
            gap=MIN_TICK_GAP_S[Lane.REDELIVERIES],
            ttl=self._retention.deliveries_s,
            delivered=self._keys.delivered,
            dead=self._keys.dead,
            all_events=self._keys.all_events,
            totals=self._keys.totals,
            state=state,
            delay=retry_in_s,
            attempt=dumps(attempt),
            trigger=report.trigger,
            result=report.result,
            duration=report.duration_s,
            random_fraction=report.random_fraction,
            max_in_flight=self._limits.in_flight,
            fault=report.fault,
            disable=report.disable,
            disable_after=self._limits.disable_after_s,
            endpoint_ttl=self._limits.retention_s,
            delivery_pattern=self._keys.delivery(ID),
            endpoint_deliveries_pattern=self._keys.endpoint_deliveries(ID),
            max_ended=self._limits.history_max,
            max_attempts=MAX_ATTEMPTS,
            endpoint_id=endpoint.id,
            timestamp=attempt.get("at"),
            stream_length=self._retention.events_max_length,
        )
        self._ticks.publish(Lane.REDELIVERIES, tick)
        return AttemptRecorded(disabled, float(paused_s) if paused_s else None)

    def resend(
        self, delivery_id: str, *, url: str | None = None, after: float = 0, at_once: bool = True
    ) -> ResendAnswer:
        """Schedule a webhook once more, whatever its state.

        Args:
            delivery_id: of the webhook.
            url: of the webhook, if the caller knows it.
            after: seconds until it is due.
            at_once: send it even while the circuit of its endpoint is open; otherwise close the circuit.
        """
        url = url or self._client.hget(self._keys.delivery(delivery_id), "url")
        if url is None:
            return "unknown"
        endpoint = endpoint_of(url)
        answer = self._scripts.resend(
            delivery=self._keys.delivery(delivery_id),
            deliveries=self._keys.lane(Lane.DELIVERIES),
            redeliveries=self._keys.lane(Lane.REDELIVERIES),
            redeliveries_loop=self._keys.loop(Lane.REDELIVERIES),
            endpoint=self._keys.endpoint(endpoint.id),
            in_flight=self._keys.in_flight(endpoint.id),
            id=delivery_id,
            gap=MIN_TICK_GAP_S[Lane.REDELIVERIES],
            ttl=self._retention.deliveries_s,
            delay=after,
            at_once=at_once,
        )
        if answer[0] == "scheduled":
            self._ticks.publish(Lane.REDELIVERIES, answer[1])
        result: ResendAnswer = answer[0]
        return result

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

    def in_trouble(self, *, since: float, endpoint: str | None = None) -> Iterator[tuple[str, str]]:
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
