"""Sends webhooks again on request: one by its id, or all that failed, spread over time."""

from __future__ import annotations

from collections import Counter

from worker.domain.errors import WebhookError
from worker.domain.job import JsonObject
from worker.domain.json_values import text_id
from worker.store.store import Store
from worker.telemetry.logs import event

MAX_DELIVERIES = 10_000  # of one call
PER_S = 20.0  # so that a receiver which has just recovered is not overloaded
MAX_SINCE_S = 30 * 86_400

NOT_RESENT = {
    "unknown": "there is no webhook {id}; ended ones are kept for a limited time",
    "disabled": "the endpoint of {id} is disabled; photogpt-worker webhooks enable lets deliveries in again",
}


def resend(store: Store, delivery_id: object) -> JsonObject:
    """Send one webhook again, under its own id. A failure is not retried.

    Raises:
        WebhookError: the webhook is unknown, or its endpoint is disabled.
    """
    if not isinstance(delivery_id, str) or text_id(delivery_id) is None:
        raise WebhookError("webhook_id must be the id of a webhook, msg_…")
    answer = store.deliveries.resend(delivery_id)
    if answer in NOT_RESENT:
        raise WebhookError(NOT_RESENT[answer].format(id=delivery_id))
    event("webhook.requeued", "the webhook is sent again on request", delivery=delivery_id)
    return {"id": delivery_id, "answer": answer}


def recover(
    store: Store, *, since: float, endpoint: str | None = None, limit: int = MAX_DELIVERIES, per_s: float = PER_S
) -> JsonObject:
    """Send again every webhook that was given up since a time, and every one that failed and waits for its retry.

    Args:
        store: Redis.
        since: epoch seconds.
        endpoint: the id of one endpoint; None for all.
        limit: of webhooks; `more` in the answer says that there were more.
        per_s: webhooks per second.
    """
    answers: Counter[str] = Counter()
    more = False
    for delivery_id, url in store.delivery_history.failed_or_deferred(since=since, endpoint=endpoint):
        if answers["scheduled"] >= limit:
            more = True
            break
        after = answers["scheduled"] / per_s
        answers[store.deliveries.resend(delivery_id, url=url, after=after, at_once=False)] += 1
    resent = answers["scheduled"]
    event("webhooks.requeued", f"{resent} webhooks are sent again on request", endpoint=endpoint, webhooks=resent)
    return {
        "resent": resent,
        "in_flight": answers["in_flight"],
        "disabled": answers["disabled"],
        "more": more,
        "takes_s": round(resent / per_s, 1),
    }


def recover_since(store: Store, since_s: object, endpoint: object, limit: object) -> JsonObject:
    """Check the arguments of a message, then recover.

    Args:
        store: Redis.
        since_s: seconds back from now.
        endpoint: an id, a URL, or None for all endpoints.
        limit: of webhooks.

    Raises:
        WebhookError: names the invalid argument.
    """
    if isinstance(since_s, bool) or not isinstance(since_s, int | float) or not 0 < since_s < MAX_SINCE_S:
        raise WebhookError(f"since_s must be a number of seconds below {MAX_SINCE_S}")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MAX_DELIVERIES:
        raise WebhookError(f"limit must be a whole number from 1 to {MAX_DELIVERIES}")
    if endpoint is not None and (not isinstance(endpoint, str) or text_id(endpoint) is None):
        raise WebhookError("endpoint must be an endpoint's id, ep_…, or a URL")
    endpoint_id = store.endpoints.find(endpoint).id if endpoint else None
    return recover(store, since=store.clock() - since_s, endpoint=endpoint_id, limit=limit)
