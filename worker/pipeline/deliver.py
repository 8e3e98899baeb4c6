"""Delivery -> one signed POST. Fails for a day if it must, without touching the job."""

from __future__ import annotations

from worker.domain.backoff import jittered
from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.errors import DeliveryError
from worker.domain.job import rfc3339, type_json
from worker.services import Services
from worker.telemetry.logs import event

JITTER = 0.2


def deliver(services: Services, delivery: Delivery, at: float) -> None:
    """Try once, and write down what happened.

    Args:
        services: the process' clients.
        delivery: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    number = delivery.attempts + 1
    attempt: type_json = {"number": number, "at": rfc3339(at)}
    try:
        taken = services.sender.send(delivery, at=at)
    except DeliveryError as error:
        attempt |= {"status": error.status, "fault": error.kind, "error": str(error)}
        wait = _wait(number, error, chance=services.chance.random())
        state = "dead" if wait is None else "pending"
        wakes = services.store.deliveries.attempted(delivery, attempt, state=state, again_after=wait or 0)
        then = "given up" if wait is None else f"tried again in {wait:.0f} s"
        event(
            "webhook.failed", f"{error}; {then}", delivery=delivery.id, job=delivery.job_id, attempt=number, warn=True
        )
    else:
        attempt |= {"status": taken.status, "duration_ms": round(taken.duration_s * 1000)}
        wakes = services.store.deliveries.attempted(delivery, attempt, state="delivered")
        event("webhook.delivered", "taken", delivery=delivery.id, job=delivery.job_id, attempt=number)
    services.send(wakes)


def _wait(number: int, error: DeliveryError, *, chance: float) -> float | None:
    """Return the seconds until the next attempt, or None if there is none.

    A receiver may ask for up to twice the planned wait; more would let it park our queue.
    """
    if error.final or number > len(SCHEDULE_S):
        return None
    planned = jittered(SCHEDULE_S[number - 1], spread=JITTER, chance=chance)
    return min(max(planned, error.retry_after or 0), 2 * planned)
