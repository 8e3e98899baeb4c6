"""Webhooks that look real and say that they are a test, and a sender that forges."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from typing import Any

from worker.domain.delivery import FULL, Bodies, Delivery, plan
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult, outcome
from worker.domain.reason import Reason
from worker.webhooks.sender import WebhookSender

MARK = {"test": True}
"""The metadata of a test event."""

IMAGE = {"id": "image_test", "url": "https://example.com/test.png"}
REASONS = {
    JobState.FAILED: (Reason.GENERATION_FAILED, "PhotoGPT tried and failed (this is a test)"),
    JobState.EXPIRED: (Reason.DEADLINE_EXCEEDED, "no end by the deadline (this is a test)"),
    JobState.CANCELED: (Reason.CANCELED, "somebody canceled it (this is a test)"),
}


def sample_delivery(url: str, event: str, *, at: float, bodies: Bodies = FULL) -> Delivery:
    """Return a webhook of the shape that workers send, with an id of its own.

    Args:
        url: where to.
        event: its type, such as `job.succeeded`.
        at: epoch seconds.
        bodies: how workers write theirs.
    """
    noun, _, name = event.partition(".")
    state, number = JobState(name), secrets.token_hex(16)
    training = noun == "model"
    job = Job(
        id=f"test-{number}",
        kind=Kind.TRAINING if training else Kind.IMAGE,
        state=state,
        request={"modelID": "model_test"} if training else {"modelID": "nanobanana", "prompt": "a test"},
        metadata=MARK,
        webhook_url=url,
        webhook_events=(event,),
        created_at=at - 20,
        deadline_at=at + 3600,
        submitted_at=None if state is JobState.QUEUED else at - 19,
        generation_id=None if training or state is JobState.QUEUED else "generation_test",
        polls=4 if state.terminal else 0,
    )
    (made,) = plan(job, state, outcome(job, _ending(state, training=training), at=at), at=at, bodies=bodies)
    return replace(made, id=f"msg_test_{number}")


def _ending(state: JobState, *, training: bool) -> JobResult | None:
    if not state.terminal:
        return None
    reason, error = REASONS.get(state, (None, None))
    made = (IMAGE,) if state is JobState.SUCCEEDED and not training else ()
    return JobResult(state=state, reason=reason, error=error, images=made)


class ForgingSender(WebhookSender):
    """Sends as workers do, but one bit of every signature is another."""

    def _headers(self, *args: Any) -> dict[str, str]:
        headers = super()._headers(*args)
        tokens = headers["webhook-signature"].split(" ")
        return headers | {"webhook-signature": " ".join(map(_flipped, tokens))}


def _flipped(token: str) -> str:
    version, _, signature = token.partition(",")
    first, *others = base64.b64decode(signature)
    return f"{version},{base64.b64encode(bytes([first ^ 1, *others])).decode()}"
