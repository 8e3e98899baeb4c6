"""Delivery -> one signed POST. Fails for a day if it must, without touching the job or another endpoint."""

from __future__ import annotations

from typing import Any

from worker.domain.backoff import jittered
from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.errors import DeliveryError
from worker.domain.job import rfc3339, type_json
from worker.services import Services
from worker.store.deliveries import Attempted, Report
from worker.store.endpoints import Go, Later, Never, Wait
from worker.telemetry.logs import event

JITTER = 0.2
WAITS_S = (0.1, 0.1, 0)  # for a slot, in the thread; the last answer is final

TOLD = {
    "endpoint_disabled": "the endpoint is disabled ({detail}); photogpt-worker webhooks enable lets it in again",
    "schedule_over": "nothing could be sent to the endpoint until the schedule was over ({detail})",
    "gone": "it answered 410",
    "asked": "it answered webhook-delivery: disable",
    "failing": "it has only failed for too long",
}


def deliver(services: Services, delivery: Delivery, at: float) -> None:
    """Try once if the endpoint lets it in, and write down what happened.

    Args:
        services: the process' clients.
        delivery: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    match _enter(services, delivery):
        case Go(trigger):
            _try(services, delivery, Report(trigger=trigger, chance=services.chance.random()), at)
        case Later(wakes):
            services.send(wakes)
        case Never(why, detail):
            error = DeliveryError(TOLD[why].format(detail=detail), kind=why, final=True)
            trigger = "scheduled" if delivery.state == "pending" else "manual"
            _failed(services, delivery, error, Report(trigger=trigger), _attempt(delivery, at, trigger))
        case None:
            pass  # it has ended meanwhile


def _enter(services: Services, delivery: Delivery) -> Go | Wait | Later | Never | None:
    """Ask the gate, and wait a moment for a slot that is about to be free: cheaper than to claim it once more."""
    for waits_s in WAITS_S:
        answer = services.store.endpoints.enter(delivery, chance=services.chance.random(), waits_s=waits_s)
        if not isinstance(answer, Wait):
            break
        services.stopping.wait(answer.seconds)
    return answer


def _try(services: Services, delivery: Delivery, report: Report, at: float) -> None:
    attempt = _attempt(delivery, at, report.trigger)
    try:
        taken = services.sender.send(delivery, at=at)
    except DeliveryError as error:
        _failed(services, delivery, error, _blame(services, error, report), attempt)
        return
    attempt |= {"status": taken.status, "duration_ms": round(taken.duration_s * 1000), **taken.answer}
    slow = taken.duration_s > services.settings.webhook_deadline_s / 2
    told = Report(
        went="slow" if slow else "ok",
        took_s=taken.duration_s,
        disable="asked" if taken.disable else "",
        trigger=report.trigger,
        chance=report.chance,
    )
    done = services.store.deliveries.attempted(delivery, attempt, state="delivered", report=told)
    event("webhook.delivered", "taken", delivery=delivery.id, job=delivery.job_id, attempt=attempt["number"])
    _tell(services, delivery, done)


def _failed(services: Services, delivery: Delivery, error: DeliveryError, report: Report, attempt: type_json) -> None:
    attempt |= {"status": error.status, "fault": error.kind, "error": str(error)}
    if error.duration_s is not None:
        attempt |= {"duration_ms": round(error.duration_s * 1000), **error.answer}
    manual = report.trigger == "manual"
    wait = _wait(delivery.steps, error, manual=manual, chance=services.chance.random())
    state = "dead" if wait is None else "pending"
    done = services.store.deliveries.attempted(delivery, attempt, state=state, again_after=wait or 0, report=report)
    if manual and delivery.state != "pending":
        then = f"it stays {delivery.state}"
    else:
        then = "given up" if wait is None else f"tried again in {wait:.0f} s"
    fields: dict[str, Any] = {"delivery": delivery.id, "job": delivery.job_id, "attempt": attempt["number"]}
    event("webhook.failed", f"{error}; {then}", warn=True, **fields)
    _tell(services, delivery, done)


def _attempt(delivery: Delivery, at: float, trigger: str) -> type_json:
    return {"number": delivery.attempts + 1, "at": rfc3339(at), "trigger": trigger}


def _tell(services: Services, delivery: Delivery, done: Attempted) -> None:
    services.send(done.wakes)
    endpoint = endpoint_of(delivery.url)
    if done.paused_s is not None:
        said = f"it fails again and again; nothing is sent to {endpoint.url} for {done.paused_s:.0f} s, then one probe"
        event("webhook.endpoint_broken", said, endpoint=endpoint.id, warn=True)
    if done.disabled:
        said = f"nothing more is sent to {endpoint.url}: {TOLD[done.disabled]}"
        event("webhook.endpoint_disabled", said, endpoint=endpoint.id, job=delivery.job_id, warn=True)


def _blame(services: Services, error: DeliveryError, report: Report) -> Report:
    """Return what a failure says of the endpoint; our own proxy's and our own refusals say nothing."""
    took = error.duration_s if error.duration_s is not None else services.settings.webhook_deadline_s
    return Report(
        went=("timeout" if error.kind == "timeout" else "failed") if error.theirs else "none",
        took_s=took,
        fault=error.kind,
        disable=error.disable,
        trigger=report.trigger,
        chance=report.chance,
    )


def _wait(steps: int, error: DeliveryError, *, manual: bool, chance: float) -> float | None:
    """Return the seconds until the next attempt, or None if there is none.

    A receiver may ask for up to twice the planned wait; more would let it park our queue. An attempt that somebody
    asked for uses up no step.
    """
    if error.final or (steps >= len(SCHEDULE_S) and not manual):
        return None
    planned = jittered(SCHEDULE_S[min(steps, len(SCHEDULE_S) - 1)], spread=JITTER, chance=chance)
    return min(max(planned, error.retry_after or 0), 2 * planned)
