"""Triggers a job at PhotoGPT, at most once per intent. Each trigger may cost credits."""

from __future__ import annotations

import time
from dataclasses import replace

from worker.domain.backoff import KEY_CHECK_S, exponential, obeying
from worker.domain.decision import Decision, Finish, Reschedule, Submitted
from worker.domain.errors import ApiError, Refused, Throttled, Unauthorized
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult, expired, expired_before_start
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.reconcile import after_lost_answer, reconcile
from worker.telemetry.logs import event

DUPLICATE_POLL_S = 15.0  # the end of the first job brings its duplicates forward; this is the fallback
MIN_RETRY_S, MAX_RETRY_S = 1.0, 60.0
MAX_TRIGGER_RETRY_AFTER_S = 3600.0  # longer than for polls: a job that was not triggered has no result to miss


def trigger(services: Services, job: Job, at: float) -> Decision | None:  # noqa: PLR0911 - one question after another
    """Ask PhotoGPT to start a job; None if another worker does.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    if job.duplicate_of is not None:
        return _follow_first_job(services, job, at)
    if job.intent_at is not None:
        return _resolve_intent(services, job, at)
    if job.not_before is not None and job.started_at is None:
        return _start(services, job, at)
    if at >= job.deadline_at:
        return Finish(expired(job))
    try:
        fingerprint = _fingerprint_before(services, job)
    except ApiError as error:
        return _on_api_error(services, job, error, at)
    began = time.monotonic()
    intent = services.store.jobs.record_intent(job, model_fingerprint_before=fingerprint)
    if intent is None:
        return None
    if time.monotonic() - began > services.settings.uncertain_settle_s:
        return None  # this process was stopped for so long that another worker may have resolved the intent
    try:
        return Submitted(services.photogpt.trigger(job.kind, job.request))
    except ApiError as error:
        lost = not error.definite
        decision = after_lost_answer(services, job, error) if lost else _on_api_error(services, job, error, at)
        return replace(decision, intent=intent) if isinstance(decision, Reschedule | Finish) else decision


def _start(services: Services, job: Job, at: float) -> Decision | None:
    """Start a job whose start time has come, unless the `expires` of its message has passed.

    A worker triggers it once it is admitted.
    """
    if job.expires_at is not None and at >= job.expires_at:
        return Finish(expired_before_start(job.id))
    if job.not_before is not None and at < job.not_before:
        return Reschedule(after=job.not_before - at, reason=job.reason, error=job.error)
    services.store.lanes.start(job)
    return None


def _on_api_error(services: Services, job: Job, error: ApiError, at: float) -> Decision:
    """Decide what follows an error after which it is certain that PhotoGPT created nothing."""
    if isinstance(error, Refused):
        result = JobResult(state=JobState.FAILED, reason=error.reason, error=str(error))
        return Finish(result, outcome_known=True)
    key_rejected = isinstance(error, Unauthorized)
    if key_rejected:
        event("api_key.rejected", f"{error}. Triggers wait until it is accepted; no job fails", job=job.id, warn=True)
    throttled = isinstance(error, Throttled) and job.kind is not Kind.TRAINING
    wait = KEY_CHECK_S if key_rejected else _backoff(services, job, throttled=throttled)
    return Reschedule(
        after=min(obeying(error.retry_after, wait, cap=MAX_TRIGGER_RETRY_AFTER_S), max(0.0, job.deadline_at - at)),
        reason=error.reason,
        error=str(error),
        clear_intent=True,
        pause_lane=key_rejected,
        requeue=throttled,
    )


def _backoff(services: Services, job: Job, *, throttled: bool) -> float:
    """Return the seconds until the next trigger. A 429 pauses all jobs, so it must not grow with one job's attempts."""
    attempt = 2 if throttled else job.attempts + 1
    return exponential(attempt, base=MIN_RETRY_S, cap=MAX_RETRY_S, random_fraction=services.random.random())


def _fingerprint_before(services: Services, job: Job) -> str | None:
    """Return the state of a model before its training, which shows after a lost answer whether one began."""
    if job.kind is not Kind.TRAINING:
        return None
    return services.photogpt.model(job.model_id or "").fingerprint


def _resolve_intent(services: Services, job: Job, at: float) -> Decision:
    """Reconcile an open intent. The job ends at its deadline, or up to one settling time later while it is unresolved.

    That is time for a search of the list, which may find a generation that was paid for.
    """
    decision = reconcile(services, job, at)
    if not isinstance(decision, Reschedule):
        return decision
    ends_at = job.deadline_at if decision.clear_intent else job.deadline_at + services.settings.uncertain_settle_s
    if at < ends_at:
        return replace(decision, after=min(decision.after, ends_at - at), intent=f"{job.intent_at:.6f}")
    resolved = decision.clear_intent and services.settings.uncertain_policy == "reconcile"
    known = replace(job, intent_at=None) if resolved else job
    return Finish(expired(replace(known, error=decision.error or job.error)), outcome_known=resolved)


def _follow_first_job(services: Services, job: Job, at: float) -> Decision:
    """End a duplicate like the first job with its idempotency key, or wait for that job."""
    first = services.store.jobs.outcome(job.duplicate_of or "")
    if first is None:
        error = f"job {job.duplicate_of}, which has the same idempotency key, no longer has a record"
        return Finish(JobResult(state=JobState.FAILED, reason=Reason.NOT_FOUND, error=error))
    if JobState(first["state"]).terminal:
        result = JobResult(
            state=JobState(first["state"]),
            reason=Reason(first["reason"]) if first["reason"] else None,
            error=first["error"],
            images=tuple(first["images"]),
            videos=tuple(first["videos"]),
            files=tuple(first["files"]),
            files_error=first["files_error"],
            model_id=first["model_id"],
            generation_id=first["generation_id"],
        )
        return Finish(result)
    if at >= job.deadline_at:
        return Finish(expired(job))
    return Reschedule(after=min(DUPLICATE_POLL_S, job.deadline_at - at))
