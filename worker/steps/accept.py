"""Turns a producer's message into a job, once. Writes to Redis only, so that accepting never waits for PhotoGPT."""

from __future__ import annotations

from dataclasses import dataclass

from config.settings import Settings
from worker.domain.errors import SubmissionError
from worker.domain.job import Batch, Job, JobState, JsonObject, Kind
from worker.domain.new_job import JobDefaults, new_job
from worker.domain.outcome import JobResult, Outcome, canceled, expired_before_start, outcome
from worker.domain.reason import Reason
from worker.domain.submission import SubmissionLimits, parse_submission, valid_metadata, valid_webhook_url
from worker.services import Services
from worker.store.records import JobAccepted, JobKnown, KeyConflict, Unaccepted
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
    #: When the job starts, and when the message expires, epoch seconds; None for now, and for never.
    eta: float | None = None
    expires_at: float | None = None
    #: The broker delivered this message before.
    redelivered: bool = False
    #: The span under which the job's spans begin, in W3C's form; None without a trace.
    traceparent: str | None = None
    #: Why the message itself cannot be used; '' if it can.
    problem: str = ""
    #: To which the job belongs.
    batch: Batch | None = None
    #: When Redis got an entry of the inbox, epoch seconds; None for a message of Celery.
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
    try:
        job, digest = _read_job(services, envelope, at)
    except SubmissionError as error:
        return _refuse(services, envelope, _invalid_job(services, envelope, at), Reason.INVALID_REQUEST, str(error))
    match services.store.jobs.accept(job, digest=digest, continuation=envelope.continuation):
        case JobAccepted():
            event("job.accepted", job.error or "the job waits for its trigger", job=job.id, kind=job.kind)
            return None
        case JobKnown(known):
            return _known(services, envelope, same_request=digest == known)
        case KeyConflict(owner):
            error_text = (
                f"idempotency_key: {job.idempotency_key!r} belongs to job {owner}, which has another request; "
                "use a new key for a new request"
            )
            return _refuse(services, envelope, job, Reason.IDEMPOTENCY_CONFLICT, error_text, digest=digest)


def end_unaccepted(services: Services, envelope: Envelope, state: JobState) -> bool:
    """End the job of a message that was revoked or has expired before a worker accepted it.

    Args:
        services: the process' clients.
        envelope: the message.
        state: `canceled` or `expired`.

    Returns:
        False if the job was accepted before; nothing is changed then.
    """
    at = services.store.clock()
    try:
        job, digest = _read_job(services, envelope, at)
    except SubmissionError:
        job, digest = _invalid_job(services, envelope, at), ""
    result = canceled(job) if state is JobState.CANCELED else expired_before_start(job.id)
    final = outcome(job, result, at=at)
    finished = services.store.jobs.finish(job, final, None, unaccepted=Unaccepted(envelope.continuation, digest))
    if finished is None:
        return False
    event("job.ended", result.error or "", job=job.id, kind=job.kind, state=result.state, reason=result.reason)
    return True


def _read_job(services: Services, envelope: Envelope, at: float) -> tuple[Job, str]:
    """Return the job that a message asks for, and the digest of its request.

    Raises:
        SubmissionError: the message or one of its arguments is invalid.
    """
    if envelope.problem:
        raise SubmissionError(field="", problem=envelope.problem)
    submission = parse_submission(envelope.kind, envelope.args, envelope.kwargs, submission_limits(services.settings))
    job = new_job(
        envelope.id,
        envelope.kind,
        submission,
        defaults=job_defaults(services.settings),
        at=at,
        eta=envelope.eta,
        expires_at=envelope.expires_at,
        result_meta=envelope.result_meta,
        batch=envelope.batch,
        traceparent=envelope.traceparent,
    )
    return job, submission.digest


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
        traceparent=envelope.traceparent,
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
    finished = services.store.jobs.finish(job, final, update, unaccepted=Unaccepted(envelope.continuation, digest))
    if finished is None:
        return _known(services, envelope, same_request=False)
    event("job.refused", error, job=job.id, kind=job.kind, reason=reason)
    return final


def _known(services: Services, envelope: Envelope, *, same_request: bool) -> Outcome | None:
    """Return the outcome of the job that already has this id, or None while it goes on or on a redelivery."""
    if envelope.batch is not None:
        services.store.batches.join(envelope.id, envelope.batch)
    if not same_request:
        message = "the task id was enqueued again with another request; the first request counts"
        event("job.duplicate", message, job=envelope.id, warn=True)
    final = services.store.jobs.outcome(envelope.id)
    ended = final is not None and JobState(final["state"]).terminal
    return final if ended and not envelope.redelivered else None
