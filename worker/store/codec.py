"""Jobs and outcomes as hashes in Redis. Times are RFC 3339 text, structures are JSON, None is an absent field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.domain.job import Batch, Job, JobState, Kind
from worker.domain.outcome import Outcome
from worker.domain.reason import Reason
from worker.domain.times import epoch, rfc3339

SCHEMA = 1

FIELDS = (
    "id",
    "kind",
    "state",
    "request",
    "metadata",
    "webhook_url",
    "webhook_events",
    "tenant",
    "idempotency_key",
    "result_meta",
    "traceparent",
    "duplicate_of",
    "batch",
    "created_at",
    "not_before",
    "expires_at",
    "started_at",
    "deadline_at",
    "submitted_at",
    "last_polled_at",
    "photogpt_status",
    "photogpt_status_since",
    "duration_s",
    "intent_at",
    "accepted_intent",
    "attempts",
    "polls",
    "generation_id",
    "model_fingerprint_before",
    "reason",
    "error",
)
"""The fields of a job's record that `decode` needs, in its order."""

OUTCOME_TEXTS = ("reason", "error", "generation_id", "model_id", "submitted_at", "finished_at", "files_error")


def dumps(value: Any) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def pairs(fields: Mapping[str, str]) -> list[str]:
    """Return names and values in turn, as HSET takes them."""
    return [text for pair in fields.items() for text in pair]


def encode(job: Job, continuation: str = "") -> dict[str, str]:
    """Return the hash fields of a job that is accepted."""
    fields: dict[str, str | None] = {
        "schema": str(SCHEMA),
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "request": dumps(job.request),
        "metadata": dumps(job.metadata) if job.metadata is not None else None,
        "webhook_url": job.webhook_url,
        "webhook_events": ",".join(job.webhook_events) or None,
        "tenant": job.tenant,
        "idempotency_key": job.idempotency_key,
        "result_meta": dumps(job.result_meta) if job.result_meta is not None else None,
        "batch": dumps([job.batch.id, job.batch.total]) if job.batch is not None else None,
        "traceparent": job.traceparent,
        "created_at": rfc3339(job.created_at),
        "not_before": rfc3339(job.not_before) if job.not_before is not None else None,
        "expires_at": rfc3339(job.expires_at) if job.expires_at is not None else None,
        "deadline_at": rfc3339(job.deadline_at),
        "reason": job.reason.value if job.reason else None,
        "error": job.error,
        "model_id": job.model_id,
        "continuation": continuation or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def decode(values: list[str | None]) -> Job:
    """Return the job of a record, given the values of `FIELDS`.

    Raises:
        ValueError, KeyError: the record is damaged.
    """
    record = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
    return Job(
        id=record["id"],
        kind=Kind(record["kind"]),
        state=JobState(record["state"]),
        request=json.loads(record["request"]),
        metadata=json.loads(record["metadata"]) if "metadata" in record else None,
        webhook_url=record.get("webhook_url"),
        webhook_events=tuple(filter(None, record.get("webhook_events", "").split(","))),
        tenant=record.get("tenant"),
        idempotency_key=record.get("idempotency_key"),
        result_meta=json.loads(record["result_meta"]) if "result_meta" in record else None,
        traceparent=record.get("traceparent"),
        duplicate_of=record.get("duplicate_of"),
        batch=Batch(*json.loads(record["batch"])) if "batch" in record else None,
        created_at=epoch(record["created_at"]),
        not_before=epoch(record["not_before"]) if "not_before" in record else None,
        expires_at=epoch(record["expires_at"]) if "expires_at" in record else None,
        started_at=epoch(record["started_at"]) if "started_at" in record else None,
        deadline_at=epoch(record["deadline_at"]),
        submitted_at=epoch(record["submitted_at"]) if "submitted_at" in record else None,
        last_polled_at=float(record["last_polled_at"]) if "last_polled_at" in record else None,
        photogpt_status=record.get("photogpt_status"),
        photogpt_status_since=float(record["photogpt_status_since"]) if "photogpt_status_since" in record else None,
        duration_s=float(record["duration_s"]) if "duration_s" in record else None,
        intent_at=float(record["intent_at"]) if "intent_at" in record else None,
        accepted_without_id="intent_at" in record and record.get("accepted_intent") == record["intent_at"],
        attempts=int(record.get("attempts", 0)),
        polls=int(record.get("polls", 0)),
        generation_id=record.get("generation_id"),
        model_fingerprint_before=record.get("model_fingerprint_before"),
        reason=Reason(record["reason"]) if "reason" in record else None,
        error=record.get("error"),
    )


def salvage(values: list[str | None], *, at: float) -> Job:
    """Return as much of a damaged record as is needed to end the job and to store its Celery result."""
    record = dict(zip(FIELDS, values, strict=True))
    kind = record["kind"] if record["kind"] in set(Kind) else Kind.IMAGE
    state = record["state"] if record["state"] in set(JobState) else JobState.QUEUED
    return Job(
        id=record["id"] or "",
        kind=Kind(kind),
        state=JobState(state),
        request={},
        result_meta=None if record["result_meta"] is None else {},
        batch=_salvaged_batch(record["batch"]),
        created_at=at,
        deadline_at=at,
    )


def _salvaged_batch(text: str | None) -> Batch | None:
    try:
        batch_id, total = json.loads(text or "")
        return Batch(str(batch_id), int(total))
    except (ValueError, TypeError):
        return None


def encode_outcome(outcome: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash fields that the end of a job adds."""
    fields = {name: outcome[name] for name in OUTCOME_TEXTS if outcome[name] is not None}
    fields["state"] = outcome["state"]
    if outcome["retryable"] is not None:
        fields["retryable"] = "true" if outcome["retryable"] else "false"
    for name in ("images", "videos", "files"):
        if outcome[name]:
            fields[name] = dumps(outcome[name])
    return fields


def decode_outcome(record: dict[str, str]) -> Outcome:
    """Return the outcome in a record, final or not."""
    return {
        "id": record["id"],
        "kind": record["kind"],
        "state": record["state"],
        "reason": record.get("reason"),
        "error": record.get("error"),
        "retryable": {"true": True, "false": False}.get(record.get("retryable", "")),
        "generation_id": record.get("generation_id"),
        "model_id": record.get("model_id"),
        "images": json.loads(record.get("images", "[]")),
        "videos": json.loads(record.get("videos", "[]")),
        "files": json.loads(record.get("files", "[]")),
        "files_error": record.get("files_error"),
        "metadata": json.loads(record["metadata"]) if "metadata" in record else None,
        "created_at": record["created_at"],
        "submitted_at": record.get("submitted_at"),
        "finished_at": record.get("finished_at"),
        "polls": int(record.get("polls", 0)),
    }
