"""Turns a producer's message into a job, once. Writes to Redis only, so that accepting never waits for PhotoGPT."""

from __future__ import annotations

from dataclasses import dataclass

from config.settings import Settings
from worker.domain.errors import SubmissionError
from worker.domain.job import Batch, Job, JobState, JsonObject, Kind
from worker.domain.outcome import JobResult, Outcome, outcome
from worker.domain.reason import Reason
from worker.domain.submission import (
    JobDefaults,
    SubmissionLimits,
    new_job,
    parse_submission,
    valid_metadata,
    valid_webhook_url,
)
from worker.services import Services
from worker.store.records import JobAccepted, JobKnown, KeyConflict
from worker.telemetry.logs import event


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A message of a producer, as Celery or the inbox delivered it."""

    #: The Celery task id, or the id in an entry of the inbox.
    id: str
    kind: Kind
    args: list[object]
    kwargs: JsonObject
    #: With a canvas: what to send once the job has ended, as JSON.
    continuation: str
    #: Without a canvas: see `Job.result_meta`.
    result_meta: JsonObject | None = None
    #: The broker delivered this message before.
    redelivered: bool = False
    #: Why the message itself cannot be used; '' if it can.
    problem: str = ""
    #: To which the job belongs.
    batch: Batch | None = None
    #: When Redis got an entry of the inbox, epoch seconds; a message of Celery's counts from its acceptance.
    appended_at: float | None = None


def submission_limits(settings: Settings) -> SubmissionLimits:
    """Return the operator's limits for submissions."""
    return SubmissionLimits(
        metadata_max_bytes=settings.metadata_max_bytes,
        webhook_schemes=settings.webhook_schemes,
        webhook_ports=settings.webhook_ports,
        webhook_allow_networks=settings.webhook_allow_networks,
    )


def job_defaults(settings: Settings) -> JobDefaults:
    """Return the operator's values for what a submission leaves out."""
    return JobDefaults(
        job_deadline_s=settings.job_deadline_s,
        model_deadline_s=settings.model_deadline_s,
        webhook_url=settings.webhook_url,
    )


def accept(services: Services, envelope: Envelope) -> Outcome | None:
    """Store a new job and return None, or return the outcome of a job that has ended already."""
    at = envelope.appended_at or services.store.clock()
    limits = submission_limits(services.settings)
    try:
        if envelope.problem:
            raise SubmissionError(field="", problem=envelope.problem)
        submission = parse_submission(envelope.kind, envelope.args, envelope.kwargs, limits)
    except SubmissionError as error:
        return _refuse(services, envelope, _invalid_job(services, envelope, at), Reason.INVALID_REQUEST, str(error))
    defaults = job_defaults(services.settings)
    job = new_job(
        envelope.id,
        envelope.kind,
        submission,
        defaults=defaults,
        at=at,
        result_meta=envelope.result_meta,
        batch=envelope.batch,
    )
    match services.store.jobs.accept(job, digest=submission.digest, continuation=envelope.continuation):
        case JobAccepted():
            event("job.accepted", "the job waits for its trigger", job=job.id, kind=job.kind)
            return None
        case JobKnown(digest):
            return _known(services, envelope, same_request=digest == submission.digest)
        case KeyConflict(owner):
            error_text = (
                f"idempotency_key: {submission.idempotency_key!r} belongs to job {owner}, which has another request; "
                "use a new key for a new request"
            )
            return _refuse(services, envelope, job, Reason.IDEMPOTENCY_CONFLICT, error_text, digest=submission.digest)


def _invalid_job(services: Services, envelope: Envelope, at: float) -> Job:
    """Return a job for a submission that is invalid, with those of its arguments that are valid."""
    limits = submission_limits(services.settings)
    return Job(
        id=envelope.id,
        kind=envelope.kind,
        request={},
        metadata=valid_metadata(envelope.kwargs, limits),
        webhook_url=valid_webhook_url(envelope.kwargs, limits) or services.settings.webhook_url,
        result_meta=envelope.result_meta,
        batch=envelope.batch,
        created_at=at,
        deadline_at=at,
    )


def _refuse(  # noqa: PLR0913 - the parts of one record
    services: Services, envelope: Envelope, job: Job, reason: Reason, error: str, *, digest: str = ""
) -> Outcome | None:
    """Store a job that ends before it begins; PhotoGPT is not called."""
    result = JobResult(state=JobState.FAILED, reason=reason, error=error)
    final = outcome(job, result, at=services.store.clock())
    # a message of Celery's returns the outcome, and Celery stores it; an entry of the inbox has none to return it
    update = services.publisher.result(job, final) if envelope.appended_at is not None else None
    finished = services.store.jobs.finish(job, final, update, create=envelope.continuation, digest=digest)
    if finished is None:
        return _known(services, envelope, same_request=False)
    event("job.refused", error, job=job.id, kind=job.kind, reason=reason)
    return final


def _known(services: Services, envelope: Envelope, *, same_request: bool) -> Outcome | None:
    """Return the outcome of the job that already has this id, or None while it goes on or on a redelivery."""
    if not same_request:
        message = "the task id was enqueued again with another request; the first request counts"
        event("job.duplicate", message, job=envelope.id, warn=True)
    final = services.store.jobs.outcome(envelope.id)
    ended = final is not None and JobState(final["state"]).terminal
    return final if ended and not envelope.redelivered else None
