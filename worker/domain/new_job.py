"""Makes a job of a submission."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.job import Batch, Job, JsonObject, Kind
from worker.domain.reason import Reason
from worker.domain.start_time import start_time
from worker.domain.submission import Submission
from worker.domain.times import rfc3339


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDefaults:
    """Values for what a submission leaves out."""

    #: Seconds from the start until an image, an upscale or a video expires.
    job_deadline_s: float
    #: Seconds from the start until a training expires.
    model_deadline_s: float
    webhook_url: str | None = None


def new_job(  # noqa: PLR0913 - what a job is made of
    job_id: str,
    kind: Kind,
    submission: Submission,
    *,
    defaults: JobDefaults,
    at: float,
    eta: float | None = None,
    expires_at: float | None = None,
    result_meta: JsonObject | None = None,
    batch: Batch | None = None,
    traceparent: str | None = None,
) -> Job:
    """Make a queued job of a submission.

    Args:
        job_id: the Celery task id.
        kind: of the task.
        submission: validated.
        defaults: for what the submission leaves out.
        at: time of acceptance, epoch seconds by Redis' clock.
        eta: of the message, epoch seconds; None if it has none.
        expires_at: of the message; it matters only to a job that starts later.
        result_meta: see `Job.result_meta`.
        batch: to which the job belongs.
        traceparent: see `Job.traceparent`.

    Raises:
        SubmissionError: the start lies too far ahead.
    """
    not_before = start_time(submission, eta=eta, at=at)
    deadline_s = defaults.model_deadline_s if kind is Kind.TRAINING else defaults.job_deadline_s
    return Job(
        id=job_id,
        kind=kind,
        request=submission.request,
        metadata=submission.metadata,
        webhook_url=submission.webhook_url or defaults.webhook_url,
        webhook_events=tuple(submission.webhook_events or ()),
        tenant=submission.tenant,
        idempotency_key=submission.idempotency_key,
        result_meta=result_meta,
        batch=batch,
        traceparent=traceparent,
        created_at=at,
        not_before=not_before,
        expires_at=expires_at if not_before else None,
        deadline_at=(not_before or at) + (submission.deadline_s or deadline_s),
        reason=Reason.SCHEDULED if not_before else None,
        error=f"starts at {rfc3339(not_before)}" if not_before else None,
    )
