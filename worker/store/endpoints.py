"""Webhook endpoints in Redis: their health, and the slots for attempts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.endpoint import Endpoint, endpoint_of
from worker.domain.job import JsonObject
from worker.domain.lane import Lane
from worker.domain.times import rfc3339
from worker.store.lanes import MIN_TICK_GAP_S, TickPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import redis

    from worker.store.lanes import Tick
    from worker.store.records import Retention
    from worker.store.scripts import Scripts

FAILING_RETENTION_S = 30 * 86_400
"""How long a failing endpoint is kept without attempts, at least."""

LEASE_MARGIN_S = 5.0
"""From the deadline of an attempt until its slot is free again, if its worker has died."""

MAX_MANUAL_WAIT_S = 3600.0
"""How long a resent webhook waits for its endpoint."""

BATCH = 200
"""Endpoints that are read at once."""

STATE_FIELDS = ("url", "disabled", "open_until", "probe_until", "failures")
"""What the state of an endpoint follows from; `url` is in every record."""

FAULT_FIELDS = (
    "disabled",
    "disabled_at",
    "failures",
    "failing_since",
    "fault",
    "open_until",
    "times_opened",
    "probe_until",
)
"""What is removed when an endpoint is enabled again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointLimits:
    """Limits of every endpoint, and of what is kept about webhooks."""

    in_flight: int = 16
    #: Attempts per second; 0 means no limit.
    per_s: float = 0
    #: Seconds of one attempt.
    deadline_s: float = 15
    #: Seconds of failures.
    disable_after_s: float = 5 * 86_400
    #: Webhooks that have ended.
    history_max: int = 100_000

    @property
    def retention_s(self) -> int:
        """How long a failing endpoint is kept, so that it can be seen to fail for days."""
        return int(max(FAILING_RETENTION_S, 2 * self.disable_after_s))


@dataclass(frozen=True, slots=True)
class Admitted:
    """Send the webhook; it has a slot."""

    #: It is sent on request, besides the schedule.
    manual: bool


@dataclass(frozen=True, slots=True)
class SlotWait:
    """A slot is free soon: ask again after some seconds. Nothing was written."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Deferred:
    """The webhook is scheduled for later, which uses up no attempt."""

    why: Literal["circuit_open", "rate", "in_flight"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The webhook is not sent any more: its endpoint is disabled, or its schedule is over."""

    why: Literal["endpoint_disabled", "schedule_over"]
    detail: str


class Endpoints:
    """Reads and writes endpoints."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        endpoint_limits: EndpointLimits,
        retention: Retention,
    ) -> None:
        """Use one client."""
        self._client: Any = client  # redis-py types its answers for a sync and an async client at once
        self._keys = scripts.keys
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._limits = endpoint_limits
        self._retention = retention

    def acquire_slot(
        self, delivery: Delivery, *, random_fraction: float, waits_s: float = 0
    ) -> Admitted | SlotWait | Deferred | Rejected | None:
        """Take a slot for an attempt at a webhook, or defer it; None if it has ended.

        Args:
            delivery: as it was claimed.
            random_fraction: a random number in [0, 1).
            waits_s: how long the caller would wait for a slot that is free soon.
        """
        endpoint, pending = endpoint_of(delivery.url), delivery.state == "pending"
        step = min(delivery.steps, len(SCHEDULE_S) - 1)
        answer = self._scripts.acquire_slot(
            delivery=self._keys.delivery(delivery.id),
            endpoint=self._keys.endpoint(endpoint.id),
            in_flight=self._keys.in_flight(endpoint.id),
            endpoint_deliveries=self._keys.endpoint_deliveries(endpoint.id),
            endpoints=self._keys.endpoints,
            deliveries=self._keys.lane(Lane.DELIVERIES),
            redeliveries=self._keys.lane(Lane.REDELIVERIES),
            redeliveries_loop=self._keys.loop(Lane.REDELIVERIES),
            gap=MIN_TICK_GAP_S[Lane.REDELIVERIES],
            id=delivery.id,
            endpoint_id=endpoint.id,
            url=endpoint.url,
            lease=self._limits.deadline_s + LEASE_MARGIN_S,
            max_in_flight=self._limits.in_flight,
            rate=self._limits.per_s,
            max_wait_open=SCHEDULE_S[step] if pending else MAX_MANUAL_WAIT_S,
            max_wait=SCHEDULE_S[-1] if pending else MAX_MANUAL_WAIT_S,
            steps_left=len(SCHEDULE_S) - delivery.steps if pending else 0,
            random_fraction=random_fraction,
            endpoint_ttl=self._limits.retention_s,
            delivery_ttl=self._retention.deliveries_s,
            max_listed=self._limits.history_max,
            caller_waits=waits_s,
        )
        match answer[0]:
            case "admitted":
                return Admitted(bool(answer[1]))
            case "wait":
                return SlotWait(float(answer[1]))
            case "deferred":
                self._ticks.publish(Lane.REDELIVERIES, answer[1])
                return Deferred(answer[2])
            case "endpoint_disabled" | "schedule_over":
                return Rejected(answer[0], answer[1])
        return None

    def enable(self, endpoint_id: str) -> bool:
        """Send to an endpoint again, and forget its failures; False if it was not disabled."""
        key = self._keys.endpoint(endpoint_id)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hexists(key, "disabled")
        pipeline.hdel(key, *FAULT_FIELDS)
        return bool(pipeline.execute()[0])

    def listed(self, *, limit: int = 100, disabled: bool = False) -> list[JsonObject]:
        """Return up to `limit` endpoints, those with the newest attempts first; or only the disabled ones."""
        attempted = iter(self._client.zrevrange(self._keys.endpoints, 0, -1, withscores=True))
        found: list[JsonObject] = []
        while len(found) < limit and (batch := dict(islice(attempted, BATCH))):
            found += [
                shown | {"last_attempt_at": rfc3339(batch[shown["id"]])}
                for shown in self._read(list(batch))
                if shown["disabled"] or not disabled
            ]
        return found[:limit]

    def count_states(self, limit: int) -> dict[str, int]:
        """Return how many of the `limit` endpoints with the newest attempts are in each state."""
        ids = self._client.zrevrange(self._keys.endpoints, 0, limit - 1)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        for endpoint_id in ids:
            pipeline.hmget(self._keys.endpoint(endpoint_id), STATE_FIELDS)
        (seconds, _), *records = pipeline.execute()
        states = (_state(dict(zip(STATE_FIELDS, values, strict=True)), seconds) for values in records if any(values))
        return dict(Counter(states))

    def get(self, endpoint_id: str) -> JsonObject | None:
        """Return the health of an endpoint, or None if nothing was sent to it recently."""
        return next(iter(self._read([endpoint_id])), None)

    def find(self, id_or_url: str) -> Endpoint:
        """Return the endpoint with an id, or that of a URL."""
        if id_or_url.startswith("ep_"):
            return Endpoint(id_or_url, self._client.hget(self._keys.endpoint(id_or_url), "url") or "")
        return endpoint_of(id_or_url)

    def _read(self, ids: list[str]) -> list[JsonObject]:
        """Return the health of some endpoints, without those that have no record."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        for endpoint_id in ids:
            pipeline.hgetall(self._keys.endpoint(endpoint_id))
            pipeline.zrange(self._keys.in_flight(endpoint_id), 0, -1, withscores=True)
        (seconds, _), *answers = pipeline.execute()
        return [
            _readable(endpoint_id, record, sum(ends > seconds for _, ends in leases), seconds)
            for endpoint_id, record, leases in zip(ids, answers[::2], answers[1::2], strict=True)
            if record
        ]


def _state(record: Mapping[str, str | None], now: float) -> str:
    """Return the state of an endpoint, given at least `STATE_FIELDS` of its record."""
    if record.get("disabled"):
        return "disabled"
    if max(float(record.get("open_until") or 0), float(record.get("probe_until") or 0)) > now:
        return "circuit_open"
    return "failing" if int(record.get("failures") or 0) else "healthy"


def _readable(endpoint_id: str, record: dict[str, str], in_flight: int, now: float) -> JsonObject:
    def at(name: str) -> str | None:
        return rfc3339(float(record[name])) if name in record else None

    state = _state(record, now)
    return {
        "id": endpoint_id,
        "url": record.get("url", ""),
        "state": state,
        "failures": int(record.get("failures", 0)),
        "fault": record.get("fault"),
        "failing_since": at("failing_since"),
        "last_success_at": at("succeeded_at"),
        "paused_until": at("open_until") if state == "circuit_open" else None,
        "in_flight": in_flight,
        "limit": int(float(record.get("limit", 4))),
        "usual_s": round(float(record["duration_s"]), 3) if "duration_s" in record else None,
        "disabled": record.get("disabled"),
        "disabled_at": at("disabled_at"),
    }
