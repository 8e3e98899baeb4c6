"""Webhook deliveries in Redis: their attempts and resends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from worker.domain.delivery import Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.job import JsonObject
from worker.domain.lane import Lane
from worker.store.codec import dumps
from worker.store.keys import ID
from worker.store.lanes import MIN_TICK_GAP_S, TickPublisher
from worker.store.records import AttemptRecorded, AttemptReport
from worker.store.totals import total_name
from worker.telemetry.metrics import WEBHOOKS_ENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from worker.store.endpoints import EndpointLimits
    from worker.store.lanes import Tick
    from worker.store.records import Retention
    from worker.store.scripts import Scripts

MAX_ATTEMPTS = 30
"""That are kept of one webhook, which may be resent without a limit."""

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
            counted=None if state == "pending" else total_name(WEBHOOKS_ENDED, state),
            state=state,
            delay=retry_in_s,
            attempt=dumps(attempt),
            manual=report.manual,
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
