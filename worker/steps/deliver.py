"""Delivery -> one signed POST. Fails for a day if it must, without touching the job or another endpoint."""

from __future__ import annotations

from typing import Any

from worker.domain.backoff import jittered
from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.errors import DeliveryError
from worker.domain.job import JsonObject
from worker.domain.times import rfc3339
from worker.services import Services
from worker.store.deliveries import AttemptRecorded, AttemptReport
from worker.store.endpoints import Admitted, Deferred, Rejected, SlotWait
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
        case Admitted(trigger):
            _try(
                services,
                delivery,
                AttemptReport(trigger=trigger, random_fraction=services.random_fraction.random()),
                at,
            )
        case Deferred():
            pass
        case Rejected(why, detail):
            error = DeliveryError(TOLD[why].format(detail=detail), kind=why, final=True)
            trigger = "scheduled" if delivery.state == "pending" else "manual"
            _failed(services, delivery, error, AttemptReport(trigger=trigger), _attempt(delivery, at, trigger))
        case None:
            pass  # it has ended meanwhile


def _enter(services: Services, delivery: Delivery) -> Admitted | SlotWait | Deferred | Rejected | None:
    """Ask the gate, and wait a moment for a slot that is about to be free: cheaper than to claim it once more."""
    for waits_s in WAITS_S:
        answer = services.store.endpoints.acquire_slot(
            delivery, random_fraction=services.random_fraction.random(), waits_s=waits_s
        )
        if not isinstance(answer, SlotWait):
            break
        services.stopping.wait(answer.seconds)
    return answer


def _try(services: Services, delivery: Delivery, report: AttemptReport, at: float) -> None:
    attempt = _attempt(delivery, at, report.trigger)
    try:
        taken = services.sender.send(delivery, at=at)
    except DeliveryError as error:
        _failed(services, delivery, error, attempt_report(services, error, report), attempt)
        return
    attempt |= {"status": taken.status, "duration_ms": round(taken.duration_s * 1000), **taken.answer}
    slow = taken.duration_s > services.settings.webhook_deadline_s / 2
    told = AttemptReport(
        result="slow" if slow else "ok",
        duration_s=taken.duration_s,
        disable="asked" if taken.disable else "",
        trigger=report.trigger,
        random_fraction=report.random_fraction,
    )
    done = services.store.deliveries.record_attempt(delivery, attempt, state="delivered", report=told)
    event("webhook.delivered", "taken", delivery=delivery.id, job=delivery.job_id, attempt=attempt["number"])
    _tell(delivery, done)


def _failed(
    services: Services, delivery: Delivery, error: DeliveryError, report: AttemptReport, attempt: JsonObject
) -> None:
    attempt |= {"status": error.status, "fault": error.kind, "error": str(error)}
    if error.duration_s is not None:
        attempt |= {"duration_ms": round(error.duration_s * 1000), **error.answer}
    manual = report.trigger == "manual"
    wait = _wait(delivery.steps, error, manual=manual, random_fraction=services.random_fraction.random())
    state = "dead" if wait is None else "pending"
    done = services.store.deliveries.record_attempt(delivery, attempt, state=state, retry_in_s=wait or 0, report=report)
    if manual and delivery.state != "pending":
        then = f"it stays {delivery.state}"
    else:
        then = "given up" if wait is None else f"tried again in {wait:.0f} s"
    fields: dict[str, Any] = {"delivery": delivery.id, "job": delivery.job_id, "attempt": attempt["number"]}
    event("webhook.attempt_failed", f"{error}; {then}", warn=True, **fields)
    _tell(delivery, done)


def _attempt(delivery: Delivery, at: float, trigger: str) -> JsonObject:
    return {"number": delivery.attempts + 1, "at": rfc3339(at), "trigger": trigger}


def _tell(delivery: Delivery, done: AttemptRecorded) -> None:
    endpoint = endpoint_of(delivery.url)
    if done.paused_s is not None:
        said = f"it fails again and again; nothing is sent to {endpoint.url} for {done.paused_s:.0f} s, then one probe"
        event("endpoint.circuit_opened", said, endpoint=endpoint.id, warn=True)
    if done.disabled:
        said = f"nothing more is sent to {endpoint.url}: {TOLD[done.disabled]}"
        event("webhook.endpoint_disabled", said, endpoint=endpoint.id, job=delivery.job_id, warn=True)


def attempt_report(services: Services, error: DeliveryError, report: AttemptReport) -> AttemptReport:
    """Return what a failure says of the endpoint; our own proxy's and our own refusals say nothing."""
    took = error.duration_s if error.duration_s is not None else services.settings.webhook_deadline_s
    return AttemptReport(
        result=("timeout" if error.kind == "timeout" else "failed") if error.endpoint_at_fault else "none",
        duration_s=took,
        fault=error.kind,
        disable=error.disable,
        trigger=report.trigger,
        random_fraction=report.random_fraction,
    )


def _wait(steps: int, error: DeliveryError, *, manual: bool, random_fraction: float) -> float | None:
    """Return the seconds until the next attempt, or None if there is none.

    A receiver may ask for up to twice the planned wait; more would let it park our queue. An attempt that somebody
    asked for uses up no step.
    """
    if error.final or (steps >= len(SCHEDULE_S) and not manual):
        return None
    planned = jittered(SCHEDULE_S[min(steps, len(SCHEDULE_S) - 1)], spread=JITTER, random_fraction=random_fraction)
    return min(max(planned, error.retry_after or 0), 2 * planned)
