"""Delivers one webhook: one signed POST per attempt. A failing receiver delays neither its job nor another endpoint."""

from __future__ import annotations

import time

from worker.domain.backoff import jittered
from worker.domain.delivery import SCHEDULE_S, Delivery
from worker.domain.endpoint import endpoint_of
from worker.domain.errors import DeliveryError
from worker.domain.job import JsonObject
from worker.domain.times import rfc3339
from worker.services import Services
from worker.store.endpoints import Admitted, Deferred, Rejected, SlotWait
from worker.store.records import AttemptRecorded, AttemptReport
from worker.telemetry import recorder
from worker.telemetry.labels import WebhookOutcome
from worker.telemetry.logs import event
from worker.telemetry.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_DURATION
from worker.webhooks.sender import Accepted

JITTER = 0.2
SLOT_WAITS_S = (0.1, 0.1, 0)  # for a free slot of the endpoint; after the last one the delivery is deferred

REFUSED_KINDS = frozenset({"address_refused", "port_refused", "scheme_refused", "invalid_url"})
"""Kinds of failures for which this service opened no connection."""

REJECTIONS = {
    "endpoint_disabled": "the endpoint is disabled ({detail}); to enable it: photogpt-worker webhooks enable",
    "schedule_over": "no attempt was possible before the schedule was over ({detail})",
}
"""Why a webhook is not sent any more, in words."""

DISABLED = {
    "gone": "it answered 410",
    "asked": "it answered webhook-delivery: disable",
    "failing": "every attempt has failed for too long",
}
"""Why an endpoint was disabled, in words."""


def deliver(services: Services, delivery: Delivery, at: float) -> None:
    """Make one attempt if the endpoint has a free slot, and record it.

    Args:
        services: the process' clients.
        delivery: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    match _acquire_slot(services, delivery):
        case Admitted(manual):
            _attempt(services, delivery, at, manual=manual)
        case Rejected(why, detail):
            text = REJECTIONS[why].format(detail=detail)
            error = DeliveryError(text, kind=why, final=True, endpoint_at_fault=False)
            _record_failure(services, delivery, error, at, manual=delivery.state != "pending")
        case Deferred() | SlotWait() | None:
            pass  # it has its next time, or has ended


def _acquire_slot(services: Services, delivery: Delivery) -> Admitted | SlotWait | Deferred | Rejected | None:
    """Acquire a slot of the endpoint; retry for 200 ms, which is cheaper than claiming the delivery again."""
    for wait_s in SLOT_WAITS_S:
        answer = services.store.endpoints.acquire_slot(
            delivery, random_fraction=services.random.random(), waits_s=wait_s
        )
        if not isinstance(answer, SlotWait):
            break
        services.stopping.wait(answer.seconds)
    return answer


def _attempt(services: Services, delivery: Delivery, at: float, *, manual: bool) -> None:
    try:
        # receivers compare the signature's time with their own clock, not with Redis'
        accepted = services.sender.send(delivery, at=time.time())
    except DeliveryError as error:
        _record_failure(services, delivery, error, at, manual=manual)
    else:
        _record_success(services, delivery, accepted, at, manual=manual)


def _record_success(services: Services, delivery: Delivery, accepted: Accepted, at: float, *, manual: bool) -> None:
    recorder.count(WEBHOOK_ATTEMPTS, WebhookOutcome.DELIVERED)
    recorder.observe(WEBHOOK_DURATION, accepted.duration_s)
    duration_ms = round(accepted.duration_s * 1000)
    entry = _entry(delivery, at, manual=manual)
    entry |= {"status": accepted.status, "duration_ms": duration_ms, **accepted.answer}
    slow = accepted.duration_s > services.settings.webhook_deadline_s / 2
    report = AttemptReport(
        result="slow" if slow else "ok",
        duration_s=accepted.duration_s,
        disable="asked" if accepted.disable else "",
        manual=manual,
    )
    recorded = services.store.deliveries.record_attempt(delivery, entry, state="delivered", report=report)
    event("webhook.delivered", f"HTTP {accepted.status}", **_fields(delivery, entry), duration_ms=duration_ms)
    _log_endpoint(delivery, recorded)


def _record_failure(services: Services, delivery: Delivery, error: DeliveryError, at: float, *, manual: bool) -> None:
    recorder.count(WEBHOOK_ATTEMPTS, webhook_outcome(error))
    entry = _entry(delivery, at, manual=manual) | {"status": error.status, "fault": error.kind, "error": str(error)}
    if error.duration_s is not None:
        recorder.observe(WEBHOOK_DURATION, error.duration_s)
        entry |= {"duration_ms": round(error.duration_s * 1000), **error.answer}
    retry_in_s = _retry_delay(delivery.steps, error, manual=manual, random_fraction=services.random.random())
    recorded = services.store.deliveries.record_attempt(
        delivery,
        entry,
        state="dead" if retry_in_s is None else "pending",
        retry_in_s=retry_in_s or 0,
        report=_failure_report(services, error, manual=manual),
    )
    fields = _fields(delivery, entry) | {"kind": error.kind}
    fields["retry_in_s"] = None if retry_in_s is None else round(retry_in_s)
    event("webhook.attempt_failed", f"{error}; {_next(delivery, retry_in_s, manual=manual)}", warn=True, **fields)
    _log_endpoint(delivery, recorded)


def _next(delivery: Delivery, retry_in_s: float | None, *, manual: bool) -> str:
    """Return what follows a failed attempt, in words."""
    if manual and delivery.state != "pending":
        return f"the delivery stays {delivery.state}"
    return "no further attempt" if retry_in_s is None else f"retry in {retry_in_s:.0f} s"


def webhook_outcome(error: DeliveryError) -> WebhookOutcome:
    """Return the metrics' word for a failure."""
    if error.duration_s is None:
        return WebhookOutcome.NOT_SENT
    if error.kind in REFUSED_KINDS:
        return WebhookOutcome.ADDRESS_REFUSED
    return WebhookOutcome(error.kind) if error.kind in set(WebhookOutcome) else WebhookOutcome.OTHER


def _entry(delivery: Delivery, at: float, *, manual: bool) -> JsonObject:
    """Return the first fields of an attempt's entry in the delivery's history."""
    trigger = "manual" if manual else "scheduled"
    return {"number": delivery.attempts + 1, "at": rfc3339(at), "trigger": trigger}


def _fields(delivery: Delivery, entry: JsonObject) -> JsonObject:
    """Return the log fields of an attempt."""
    return {
        "delivery": delivery.id,
        "job": delivery.job_id,
        "endpoint": endpoint_of(delivery.url).id,
        "attempt": entry["number"],
        "status": entry["status"],
    }


def _log_endpoint(delivery: Delivery, recorded: AttemptRecorded) -> None:
    """Log that the attempt opened the endpoint's circuit, or disabled the endpoint."""
    endpoint = endpoint_of(delivery.url)
    if recorded.paused_s is not None:
        pause = round(recorded.paused_s)
        message = f"{endpoint.url} fails repeatedly: no delivery for {pause} s, then one probe"
        event("endpoint.circuit_opened", message, endpoint=endpoint.id, paused_s=pause, warn=True)
    if recorded.disabled:
        message = f"no more deliveries to {endpoint.url}: {DISABLED[recorded.disabled]}"
        event(
            "endpoint.disabled",
            message,
            endpoint=endpoint.id,
            job=delivery.job_id,
            why=recorded.disabled,
            warn=True,
        )


def _failure_report(services: Services, error: DeliveryError, *, manual: bool) -> AttemptReport:
    """Return what a failure shows about the endpoint: nothing if our proxy failed, or if nothing was sent."""
    duration_s = error.duration_s if error.duration_s is not None else services.settings.webhook_deadline_s
    return AttemptReport(
        result=("timeout" if error.kind == "timeout" else "failed") if error.endpoint_at_fault else "none",
        duration_s=duration_s,
        fault=error.kind,
        disable=error.disable,
        manual=manual,
        random_fraction=services.random.random(),
    )


def _retry_delay(steps: int, error: DeliveryError, *, manual: bool, random_fraction: float) -> float | None:
    """Return the seconds until the next attempt, or None if there is none.

    A Retry-After counts up to twice the planned delay, so that a receiver cannot keep deliveries in Redis for ever. A
    manual attempt uses no step of the schedule.
    """
    if error.final or (steps >= len(SCHEDULE_S) and not manual):
        return None
    planned = jittered(SCHEDULE_S[min(steps, len(SCHEDULE_S) - 1)], spread=JITTER, random_fraction=random_fraction)
    return min(max(planned, error.retry_after or 0), 2 * planned)
