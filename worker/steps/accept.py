"""Submission -> job, once. The first step of the line: Redis only, so that it never waits for PhotoGPT."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.errors import SubmissionError
from worker.domain.job import Job, JobState, JsonObject, Kind
from worker.domain.outcome import JobResult, Outcome, outcome
from worker.domain.reason import Reason
from worker.domain.submission import check_webhook_target, limits_of, new_job, parse_submission
from worker.services import Services
from worker.store.codec import dumps
from worker.store.records import JobAccepted, JobKnown, KeyConflict
from worker.telemetry.logs import event


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A message as it came from the queue."""

    id: str
    kind: Kind
    args: list[object]
    kwargs: JsonObject
    #: Where a canvas hangs on it: what to send when the job has ended, as JSON; made from the message's own headers.
    continuation: str
    #: Where none does: what else stands in its Celery result; see `Job.result`.
    result: JsonObject | None = None
    #: The broker has handed the message out before.
    redelivered: bool = False


def submit(services: Services, envelope: Envelope) -> Outcome | None:
    """Write a job down and return None, or return the outcome if there is nothing to wait for."""
    at = services.store.clock()
    limits = limits_of(services.settings)
    try:
        submission = parse_submission(envelope.kind, envelope.args, envelope.kwargs, limits)
    except SubmissionError as error:
        return _refuse(services, envelope, _unread(services, envelope, at), Reason.INVALID_REQUEST, str(error))
    job = new_job(envelope.id, envelope.kind, submission, settings=services.settings, at=at, result=envelope.result)
    match services.store.jobs.accept(job, digest=submission.digest, continuation=envelope.continuation):
        case JobAccepted():
            event("job.accepted", "accepted; waits to be triggered", job=job.id, kind=job.kind)
            return None
        case JobKnown(digest):
            return _repeat(services, envelope, same=digest == submission.digest)
        case KeyConflict(owner):
            problem = (
                f"idempotency_key: {submission.idempotency_key!r} belongs to job {owner}, which has another request; "
                "use a fresh key for a fresh request"
            )
            return _refuse(services, envelope, job, Reason.IDEMPOTENCY_CONFLICT, problem, digest=submission.digest)


def _unread(services: Services, envelope: Envelope, at: float) -> Job:
    """Make the record of a submission that cannot be read, with as much of it as can."""
    metadata, url = envelope.kwargs.get("metadata"), envelope.kwargs.get("webhook_url")
    small = isinstance(metadata, dict) and len(dumps(metadata).encode()) <= services.settings.metadata_max_bytes
    return Job(
        id=envelope.id,
        kind=envelope.kind,
        request={},
        metadata=metadata if small else None,
        webhook_url=url if _usable(services, url) else services.settings.webhook_url,
        result=envelope.result,
        created_at=at,
        deadline_at=at,
    )


def _usable(services: Services, url: object) -> bool:
    if not isinstance(url, str):
        return False
    try:
        check_webhook_target(url, limits_of(services.settings))
    except ValueError:
        return False
    return True


def _refuse(  # noqa: PLR0913 - one sentence
    services: Services, envelope: Envelope, job: Job, reason: Reason, problem: str, *, digest: str = ""
) -> Outcome | None:
    """End a job that never became one. PhotoGPT is not asked."""
    ending = JobResult(state=JobState.FAILED, reason=reason, error=problem)
    refused = outcome(job, ending, at=services.store.clock())
    finished = services.store.jobs.finish(job, refused, None, create=envelope.continuation, digest=digest)
    if finished is None:
        return _repeat(services, envelope, same=False)
    event("job.refused", f"refused before PhotoGPT was asked: {problem}", job=job.id, kind=job.kind, reason=reason)
    return refused


def _repeat(services: Services, envelope: Envelope, *, same: bool) -> Outcome | None:
    """Answer a second message with an id that is known: the job it names goes on as it is, or has ended."""
    if not same:
        event("job.duplicate", "enqueued again with another request; the first one stands", job=envelope.id, warn=True)
    known = services.store.jobs.outcome(envelope.id)
    ended = known is not None and JobState(known["state"]).terminal
    return known if ended and not envelope.redelivered else None
