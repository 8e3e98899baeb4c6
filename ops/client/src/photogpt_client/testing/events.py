"""Webhooks as workers sign them, and forged ones, for tests of receivers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a secret for tests, known to all").decode()
"""With this secret the service of the fixture `photogpt` signs, and `signed_event` by default."""

SEQUENCES = {"queued": 1, "submitted": 2, "running": 3, "stored": 5, "not_stored": 5}
END = 4  # the sequence of the events that end a job


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A webhook to post to a receiver."""

    body: bytes
    headers: dict[str, str]


def signed_event(
    kind: str = "job.succeeded",
    *,
    secret: str = SECRET,
    webhook_id: str | None = None,
    age_s: float = 0,
    **outcome: Any,
) -> SignedRequest:
    """Return a webhook with a valid signature.

    Args:
        kind: `job.succeeded`, `model.failed` …
        secret: `whsec_…` that the receiver has.
        webhook_id: default: a new one.
        age_s: how long ago it was signed, seconds.
        outcome: fields of the outcome; default: those of a job with one image.
    """
    body = json.dumps(_event(kind, outcome), separators=(",", ":")).encode()
    return SignedRequest(body, _headers(body, secret, webhook_id or f"msg_{uuid.uuid4().hex}", age_s))


def forged_event(kind: str = "job.succeeded", *, secret: str = SECRET, **outcome: Any) -> SignedRequest:
    """Return a webhook whose body was changed after it was signed. A receiver has to answer 401."""
    honest = signed_event(kind, secret=secret, **outcome)
    return SignedRequest(honest.body.replace(b'"polls":2', b'"polls":3'), honest.headers)


def sample_outcome(kind: str = "image", state: str = "succeeded", **changed: Any) -> dict[str, Any]:
    """Return the outcome of a job as the service writes it."""
    at = now()
    job_id = str(changed.get("id") or uuid.uuid4())
    image = {"id": f"img_{job_id[:8]}", "url": f"https://images.example.com/{job_id}.png"}
    video = {"id": f"vid_{job_id[:8]}", "url": f"https://videos.example.com/{job_id}.mp4"}
    made = state == "succeeded"
    found = {
        "id": job_id,
        "kind": kind,
        "state": state,
        "reason": None,
        "error": None,
        "retryable": None,
        "generation_id": None if kind == "training" else f"job_{job_id[:8]}",
        "model_id": None,
        "images": [image] if made and kind in {"image", "upscale"} else [],
        "videos": [video] if made and kind == "video" else [],
        "files": [],
        "files_error": None,
        "metadata": None,
        "created_at": at,
        "submitted_at": at,
        "finished_at": at,
        "polls": 2,
    }
    return found | changed


def now() -> str:
    """Return the time as the service writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(kind: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    noun, _, state = kind.partition(".")
    ended = state if state not in SEQUENCES else "succeeded" if "stored" in state else state
    data = sample_outcome("training" if noun == "model" else "image", ended, **changed)
    sequence = SEQUENCES.get(state, END)
    return {"type": kind, "timestamp": now(), "schema": 1, "sequence": sequence, "truncated": False, "data": data}


def _headers(body: bytes, secret: str, webhook_id: str, age_s: float) -> dict[str, str]:
    stamp = str(int(time.time() - age_s))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, b".".join((webhook_id.encode(), stamp.encode(), body)), hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
