"""Test events with the shape of real webhooks, and a sender that signs them wrongly."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from typing import Any

from worker.domain.delivery import FULL, BodyOptions, Delivery, plan, plan_for_files
from worker.domain.files import FILE_EVENTS, NOT_STORED, STORED, StoredFile
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult, outcome
from worker.domain.reason import Reason
from worker.webhooks.sender import WebhookSender

TEST_METADATA = {"test": True}

IMAGE = {"id": "image_test", "url": "https://example.com/test.png"}
FILE = StoredFile(
    key="tenant/2026-01-31/test/1.png",
    bytes=70,
    sha256="0" * 64,
    content_type="image/png",
    source_url="https://example.com/test.png",
)
REASONS = {
    JobState.FAILED: (Reason.GENERATION_FAILED, "the generation failed at PhotoGPT (this is a test)"),
    JobState.EXPIRED: (Reason.DEADLINE_EXCEEDED, "the deadline passed before the end (this is a test)"),
    JobState.CANCELED: (Reason.CANCELED, "the job was canceled (this is a test)"),
}


def sample_delivery(url: str, event: str, *, at: float, bodies: BodyOptions = FULL) -> Delivery:
    """Return a webhook as workers send it, with an id of its own.

    Args:
        url: of the receiver.
        event: its type, such as `job.succeeded`.
        at: epoch seconds.
        bodies: how workers write bodies.
    """
    noun, _, name = event.partition(".")
    state, number = JobState.SUCCEEDED if event in FILE_EVENTS else JobState(name), secrets.token_hex(16)
    training = noun == "model"
    job = Job(
        id=f"test-{number}",
        kind=Kind.TRAINING if training else Kind.IMAGE,
        state=state,
        request={"modelID": "model_test"} if training else {"modelID": "nanobanana", "prompt": "a test"},
        metadata=TEST_METADATA,
        webhook_url=url,
        webhook_events=(event,),
        created_at=at - 20,
        deadline_at=at + 3600,
        submitted_at=None if state is JobState.QUEUED else at - 19,
        generation_id=None if training or state is JobState.QUEUED else "generation_test",
        polls=4 if state.terminal else 0,
    )
    data = outcome(job, _result(state, event, training=training), at=at)
    if event in FILE_EVENTS:
        (delivery,) = plan_for_files(job, event, data, at=at, body=bodies)
    else:
        (delivery,) = plan(job, state, data, at=at, body=bodies)
    return replace(delivery, id=f"msg_test_{number}")


def _result(state: JobState, event: str, *, training: bool) -> JobResult | None:
    if not state.terminal:
        return None
    reason, error = REASONS.get(state, (None, None))
    images = (IMAGE,) if state is JobState.SUCCEEDED and not training else ()
    files = (FILE,) if event == STORED else ()
    files_error = "image 1: HTTP 404 (this is a test)" if event == NOT_STORED else None
    return JobResult(state=state, reason=reason, error=error, images=images, files=files, files_error=files_error)


class ForgingSender(WebhookSender):
    """Sends as workers do, with one wrong bit in every signature."""

    def _headers(self, *args: Any) -> dict[str, str]:
        headers = super()._headers(*args)
        signatures = headers["webhook-signature"].split(" ")
        return headers | {"webhook-signature": " ".join(map(_flip_one_bit, signatures))}


def _flip_one_bit(text: str) -> str:
    version, _, signature = text.partition(",")
    first, *others = base64.b64decode(signature)
    return f"{version},{base64.b64encode(bytes([first ^ 1, *others])).decode()}"
