"""The ledger of webhooks: what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from worker.domain.delivery import Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.job import JsonObject
from worker.store import keys
from worker.store.codec import dumps
from worker.store.history import History
from worker.store.keys import Lane
from worker.store.lanes import GAPS, Tick, TickPublisher

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from worker.store.endpoints import EndpointLimits
    from worker.store.scripts import Scripts

LIFE_S = 2 * 86_400
"""Longer than the webhook schedule, however short records are kept."""

MAX_ATTEMPTS = 30
"""Of one webhook that are kept; somebody may send it by hand for ever."""

FIELDS = ("id", "type", "url", "body", "job", "state", "attempts", "manual", "skipped")
"""What a `Delivery` is read from, in the order in which claim.lua returns it."""


def decode(values: list[str | None]) -> Delivery:
    """Return the delivery whose values stand in the order of `FIELDS`."""
    name, kind, url, body, job_id, state, attempts, manual, skipped = (value or "" for value in values)
    return Delivery(
        id=name,
        type=kind,
        url=url,
        body=body,
        job_id=job_id,
        state=state or "pending",
        attempts=int(attempts or 0),
        manual=int(manual or 0),
        skipped=int(skipped or 0),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptReport:
    """What an attempt says of the endpoint."""

    #: `none` says nothing: nothing was sent, or the fault is not the endpoint's.
    result: Literal["ok", "slow", "failed", "timeout", "none"] = "none"
    duration_s: float = 0
    #: A class of fault.
    fault: str = ""
    #: Why the endpoint is to be disabled: `gone` or `asked`; or nothing.
    disable: str = ""
    trigger: Literal["scheduled", "manual"] = "scheduled"
    #: A number in [0, 1) from the caller's generator.
    random_fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class AttemptRecorded:
    """What followed from an attempt."""

    #: Why the endpoint was disabled by it: `gone`, `asked`, `failing`; or None.
    disabled: str | None
    #: Seconds for which nothing is sent to the endpoint from now on, since this was one failure too many; or None.
    paused_s: float | None = None


ResendAnswer = Literal["scheduled", "unknown", "in_flight", "disabled"]
"""Whether a webhook was scheduled once more, or why it was not."""

SAYS_NOTHING = AttemptReport()


class Deliveries(History):
    """The ledger of webhooks. Every verb is one script, and safe to repeat."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        retention_s: int,
        endpoint_limits: EndpointLimits,
    ) -> None:
        """Use one client and its scripts."""
        super().__init__(client)
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._life_s = max(LIFE_S, retention_s)
        self._gates = endpoint_limits

    def record_attempt(
        self,
        delivery: Delivery,
        attempt: JsonObject,
        *,
        state: str,
        retry_in_s: float = 0,
        report: AttemptReport = SAYS_NOTHING,
    ) -> AttemptRecorded:
        """Record one attempt.

        Args:
            delivery: what was tried.
            attempt: what happened, as JSON.
            state: `delivered`, `dead`, or `pending` to try again.
            retry_in_s: seconds until then.
            report: what it says of the endpoint.
        """
        lane, endpoint, endpoint_limits = Lane.REDELIVERIES, endpoint_of(delivery.url), self._gates
        answer = self._scripts.record_attempt(
            keys=[
                keys.delivery(delivery.id),
                keys.lane(Lane.DELIVERIES),
                keys.lane(lane),
                keys.loop(lane),
                keys.endpoint(endpoint.id),
                keys.in_flight(endpoint.id),
                keys.DELIVERED,
                keys.DEAD,
                keys.EVENTS,
            ],
            args=[
                delivery.id,
                state,
                f"{retry_in_s:.3f}",
                GAPS[lane],
                dumps(attempt),
                self._life_s,
                report.trigger,
                report.result,
                f"{report.duration_s:.3f}",
                f"{report.random_fraction:.6f}",
                endpoint_limits.in_flight,
                report.fault,
                report.disable,
                endpoint_limits.disable_after_s,
                endpoint_limits.life_s,
                keys.DELIVERY,
                endpoint_limits.history_max,
                MAX_ATTEMPTS,
                endpoint.id,
                attempt.get("at", ""),
                endpoint_limits.events_max_length,
                keys.ENDPOINT,
            ],
        )
        self._ticks.publish(lane, answer[0])
        return AttemptRecorded(answer[1], float(answer[2]) if answer[2] else None)

    def resend(
        self, delivery_id: str, *, url: str | None = None, after: float = 0, at_once: bool = True
    ) -> ResendAnswer:
        """Send a webhook once more, whatever became of it.

        Args:
            delivery_id: which.
            url: where it goes, if that is known already.
            after: seconds until then.
            at_once: even while nothing is sent to its endpoint, which has failed too often; else in its turn.
        """
        url = url or self.url_of(delivery_id)
        if url is None:
            return "unknown"
        lane, endpoint = Lane.REDELIVERIES, endpoint_of(url)
        answer: Any = self._scripts.resend(
            keys=[
                keys.delivery(delivery_id),
                keys.lane(Lane.DELIVERIES),
                keys.lane(lane),
                keys.loop(lane),
                keys.endpoint(endpoint.id),
                keys.in_flight(endpoint.id),
            ],
            args=[delivery_id, f"{after:.3f}", GAPS[lane], "now" if at_once else "turn", self._life_s],
        )
        if answer[0] == "scheduled":
            self._ticks.publish(lane, answer[1])
        found: ResendAnswer = answer[0]
        return found
