"""Webhooks once more: one that somebody names, or all that are in trouble, spread over time."""

from __future__ import annotations

from collections import Counter

from worker.domain.errors import WebhookError
from worker.domain.job import JsonObject
from worker.store.connection import Store
from worker.telemetry.logs import event

MOST = 10_000  # of one call
PER_S = 20.0
MAX_S = 30 * 86_400

IN_THE_WAY = {
    "unknown": "there is no webhook {id}; ended ones are kept for a while only",
    "disabled": "the endpoint of {id} is disabled; photogpt-worker webhooks enable lets it in again",
}


def resend(store: Store, delivery_id: object) -> JsonObject:
    """Send a webhook once more, under the id that it has. If that fails, nothing is tried by itself.

    Raises:
        WebhookError: says why not.
    """
    if not isinstance(delivery_id, str):
        raise WebhookError("webhook_id must be a webhook's id, msg_…")
    answer = store.deliveries.resend(delivery_id)
    if answer in IN_THE_WAY:
        raise WebhookError(IN_THE_WAY[answer].format(id=delivery_id))
    event("webhook.requeued", "somebody asked for it again", delivery=delivery_id)
    return {"id": delivery_id, "answer": answer}


def recover(
    store: Store,
    *,
    since: float,
    endpoint: str | None = None,
    limit: int = MOST,
    per_s: float = PER_S,
) -> JsonObject:
    """Send once more what was given up since then, and what failed or was put off and waits.

    Args:
        store: the ledger.
        since: epoch seconds.
        endpoint: the id of one; or all.
        limit: how many at most; `more` in the answer tells that there were more.
        per_s: how many a second, so that a receiver that has just come back is not run over.
    """
    told: Counter[str] = Counter()
    more = False
    for delivery_id, url in store.deliveries.in_trouble(since=since, endpoint=endpoint):
        if told["scheduled"] >= limit:
            more = True
            break
        answer = store.deliveries.resend(delivery_id, url=url, after=told["scheduled"] / per_s, at_once=False)
        told[answer] += 1
    event("webhooks.requeued", f"{told['scheduled']} webhooks are sent once more", endpoint=endpoint)
    return {
        "resent": told["scheduled"],
        "in_flight": told["in_flight"],
        "disabled": told["disabled"],
        "more": more,
        "takes_s": round(told["scheduled"] / per_s, 1),
    }


def recover_since(store: Store, since_s: object, endpoint: object, limit: object) -> JsonObject:
    """Do the same for arguments that came by a message.

    Raises:
        WebhookError: names the argument that cannot be used.
    """
    if isinstance(since_s, bool) or not isinstance(since_s, int | float) or not 0 < since_s < MAX_S:
        raise WebhookError(f"since_s must be seconds, up to {MAX_S}")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST:
        raise WebhookError(f"limit must be a number up to {MOST}")
    if endpoint is not None and not isinstance(endpoint, str):
        raise WebhookError("endpoint must be its id, ep_…, or a URL")
    found = store.endpoints.find(endpoint).id if endpoint else None
    return recover(store, since=store.clock() - since_s, endpoint=found, limit=limit)
