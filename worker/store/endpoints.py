"""The ledger of endpoints: how each is, and who may be sent to it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.endpoint import Endpoint, endpoint_of
from worker.domain.job import JsonObject
from worker.domain.times import rfc3339
from worker.store import keys
from worker.store.keys import Lane
from worker.store.lanes import GAPS, Tick, TickPublisher

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from worker.store.scripts import Scripts

LIFE_S = 30 * 86_400
"""How long an endpoint is remembered to which nothing is sent."""

FLIGHT_MARGIN_S = 5.0
"""After the deadline of an attempt, until its slot is taken to be a dead worker's."""

PATIENCE_S = 3600.0
"""How long a webhook that somebody asked for again waits for its endpoint."""

OPENS_AFTER = 5
"""Failures in a row after which nothing is sent for a while (`lua/health.lua`)."""


TROUBLE = ("disabled", "disabled_at", "failures", "failing_since", "fault", "open_until", "opened", "probe_until")
"""Fields that are gone when an endpoint is enabled again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointLimits:
    """What the settings say about endpoints."""

    in_flight: int = 16
    per_s: float = 0
    deadline_s: float = 15
    disable_after_s: float = 5 * 86_400
    history_max: int = 100_000
    events_max_length: int = 100_000

    @property
    def life_s(self) -> int:
        """How long an endpoint is remembered: long enough to see that it fails for days."""
        return int(max(LIFE_S, 2 * self.disable_after_s))


@dataclass(frozen=True, slots=True)
class Admitted:
    """Send it; a slot of the endpoint is taken."""

    trigger: Literal["scheduled", "manual"]


@dataclass(frozen=True, slots=True)
class SlotWait:
    """A slot is about to be free: ask again. Nothing was written down."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Deferred:
    """It was put off: the endpoint is broken, or it is not its turn. None of its attempts is used up."""

    why: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will not be sent: the endpoint is disabled, or its schedule is over."""

    why: Literal["endpoint_disabled", "schedule_over"]
    detail: str


class Endpoints:
    """The ledger of endpoints."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        endpoint_limits: EndpointLimits,
        delivery_life_s: int,
    ) -> None:
        """Use one client and its scripts."""
        self._client: Any = client
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._gates = endpoint_limits
        self._delivery_life_s = delivery_life_s

    def acquire_slot(
        self, delivery: Delivery, *, random_fraction: float, waits_s: float = 0
    ) -> Admitted | SlotWait | Deferred | Rejected | None:
        """Ask whether a webhook may be sent now; None if it has ended.

        Args:
            delivery: as it was claimed.
            random_fraction: a number in [0, 1) from the caller's generator.
            waits_s: how long the caller would wait for a slot that is about to be free.
        """
        endpoint, lane, endpoint_limits = endpoint_of(delivery.url), Lane.REDELIVERIES, self._gates
        pending, steps = delivery.state == "pending", min(delivery.steps, len(SCHEDULE_S) - 1)
        answer = self._scripts.acquire_slot(
            keys=[
                keys.delivery(delivery.id),
                keys.endpoint(endpoint.id),
                keys.in_flight(endpoint.id),
                keys.endpoint_deliveries(endpoint.id),
                keys.ENDPOINTS,
                keys.lane(Lane.DELIVERIES),
                keys.lane(lane),
                keys.loop(lane),
            ],
            args=[
                delivery.id,
                endpoint.id,
                endpoint.url,
                f"{endpoint_limits.deadline_s + FLIGHT_MARGIN_S:.3f}",
                endpoint_limits.in_flight,
                endpoint_limits.per_s,
                SCHEDULE_S[steps] if pending else PATIENCE_S,
                SCHEDULE_S[-1] if pending else PATIENCE_S,
                len(SCHEDULE_S) - delivery.steps if pending else 0,
                f"{random_fraction:.6f}",
                GAPS[lane],
                endpoint_limits.life_s,
                self._delivery_life_s,
                endpoint_limits.history_max,
                waits_s,
            ],
        )
        match answer[0]:
            case "go":
                return Admitted(answer[1])
            case "wait":
                return SlotWait(float(answer[1]))
            case "later":
                self._ticks.publish(lane, answer[1])
                return Deferred(answer[2])
            case "disabled":
                return Rejected("endpoint_disabled", answer[1])
            case "spent":
                return Rejected("schedule_over", answer[1])
            case _:
                return None

    def enable(self, endpoint_id: str) -> bool:
        """Send to an endpoint again; False if it was not disabled. What it failed before is forgotten."""
        name = keys.endpoint(endpoint_id)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hexists(name, "disabled")
        pipeline.hdel(name, *TROUBLE)
        return bool(pipeline.execute()[0])

    def listed(self, *, limit: int = 100, disabled: bool = False) -> list[JsonObject]:
        """Return endpoints, those first to which something was sent last.

        Args:
            limit: how many at most.
            disabled: only those that are.
        """
        found: list[JsonObject] = []
        for endpoint_id, at in self._client.zrevrange(keys.ENDPOINTS, 0, -1, withscores=True):
            shown = self.get(endpoint_id)
            if shown is None or (disabled and not shown["disabled"]):
                continue
            found.append(shown | {"last_attempt_at": rfc3339(at)})
            if len(found) == limit:
                break
        return found

    def get(self, endpoint_id: str) -> JsonObject | None:
        """Return how an endpoint is, or None if nothing was sent to it lately."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(keys.endpoint(endpoint_id))
        pipeline.time()
        pipeline.zrange(keys.in_flight(endpoint_id), 0, -1, withscores=True)
        record, (seconds, _), in_flight = pipeline.execute()
        return _readable(endpoint_id, record, sum(ends > seconds for _, ends in in_flight), seconds) if record else None

    def find(self, named: str) -> Endpoint:
        """Return the endpoint that somebody means by its id, or by a URL that leads to it."""
        if named.startswith("ep_"):
            return Endpoint(named, self._client.hget(keys.endpoint(named), "url") or "")
        return endpoint_of(named)


def _readable(endpoint_id: str, record: dict[str, str], in_flight: int, now: float) -> JsonObject:
    def at(name: str) -> str | None:
        return rfc3339(float(record[name])) if name in record else None

    failures = int(record.get("failures", 0))
    broken = float(record.get("open_until", 0)) > now or float(record.get("probe_until", 0)) > now
    state = "disabled" if "disabled" in record else "broken" if broken else "failing" if failures else "healthy"
    return {
        "id": endpoint_id,
        "url": record.get("url", ""),
        "state": state,
        "failures": failures,
        "fault": record.get("fault"),
        "failing_since": at("failing_since"),
        "last_success_at": at("ok_at"),
        "paused_until": at("open_until") if state == "broken" else None,
        "in_flight": in_flight,
        "limit": int(float(record.get("limit", 4))),
        "usual_s": round(float(record["took"]), 3) if "took" in record else None,
        "disabled": record.get("disabled"),
        "disabled_at": at("disabled_at"),
    }
