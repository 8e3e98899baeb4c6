"""Job -> one generation. It costs credits: what is known is written down before and after, doubt is settled first."""

from __future__ import annotations

import time
from dataclasses import replace

from worker.domain.backoff import exponential, obeying
from worker.domain.decision import Decision, Finish, Reschedule, Submitted
from worker.domain.errors import ApiError, Refused, Throttled, Unauthorized
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.reconcile import model_fingerprint, reconcile, settle
from worker.telemetry.logs import event

FOLLOW_S = 15.0  # a follower is woken by the end of its owner; this is for the case that the call got lost
MIN_S, MAX_S = 1.0, 60.0  # between two attempts
KEY_CHECK_S = 15.0  # between two attempts with a key that is not accepted


def trigger(services: Services, job: Job, at: float) -> Decision | None:  # noqa: PLR0911 - a row of questions
    """Ask PhotoGPT to start a job; None if somebody else does.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    if job.duplicate_of is not None:
        return _follow(services, job, at)
    if job.intent_at is not None:
        return _in_doubt(services, job, at)
    if at >= job.deadline_at:
        return Finish(ending=expired(job))
    try:
        before = model_fingerprint(services.photogpt.model(job.model_id or "")) if job.kind is Kind.TRAINING else None
    except ApiError as error:
        return on_api_error(services, job, error, at)
    began = time.monotonic()
    intent = services.store.jobs.record_intent(job, model_fingerprint_before=before)
    if intent is None:
        return None
    if time.monotonic() - began > services.settings.uncertain_settle_s:
        return None  # this process stood still; the intent may be settled, and another worker may be asking
    try:
        return Submitted(services.photogpt.trigger(job.kind, job.request))
    except ApiError as error:
        decision = on_api_error(services, job, error, at) if error.definite else settle(services, job, error)
        return replace(decision, intent=intent) if isinstance(decision, Reschedule) else decision


def _in_doubt(services: Services, job: Job, at: float) -> Decision:
    """Settle an open intent; the deadline ends this, too, but not before PhotoGPT was looked at."""
    decision = reconcile(services, job, at)
    if isinstance(decision, Reschedule):
        decision = replace(decision, intent=f"{job.intent_at:.6f}")
    if at < job.deadline_at or not isinstance(decision, Reschedule):
        return decision
    outcome_known = decision.clear_intent and services.settings.uncertain_policy == "reconcile"
    known = replace(job, intent_at=None) if outcome_known else job
    return Finish(expired(replace(known, error=decision.error or job.error)), outcome_known=outcome_known)


def expired(job: Job) -> JobResult:
    """Return how a job ends whose deadline has passed."""
    if job.generation_id or job.submitted_at:
        what = f"generation {job.generation_id}" if job.generation_id else "training"
        spent = f"its {what} may still run and be charged"
    elif job.intent_at is not None:
        spent = "PhotoGPT was asked and its answer was lost, so that something may run there and be charged"
    else:
        spent = "PhotoGPT started nothing, nothing was spent"
    last = f"; in the way: {job.error}" if job.error else ""
    return JobResult(
        state=JobState.EXPIRED,
        reason=Reason.DEADLINE_EXCEEDED,
        error=f"the deadline of job {job.id} passed; {spent}{last}",
    )


def on_api_error(services: Services, job: Job, error: ApiError, at: float) -> Decision:
    """PhotoGPT created nothing, for certain."""
    if isinstance(error, Refused):
        return Finish(JobResult(state=JobState.FAILED, reason=error.reason, error=str(error)), outcome_known=True)
    random_fraction = services.random_fraction.random()
    wait = exponential(job.attempts + 1, base=MIN_S, cap=MAX_S, random_fraction=random_fraction)
    throttled = isinstance(error, Throttled) and job.kind is not Kind.TRAINING
    if throttled:  # everybody's wait, so it must not grow with one job's attempts
        wait = exponential(2, base=MIN_S, cap=MAX_S, random_fraction=random_fraction)
    if isinstance(error, Unauthorized):
        wait = KEY_CHECK_S
        event("api_key.rejected", f"{error}. Nothing is triggered until it is; no job fails", job=job.id, warn=True)
    return Reschedule(
        after=min(obeying(error.retry_after, wait, cap=3600), max(0.0, job.deadline_at - at)),
        reason=error.reason,
        error=str(error),
        clear_intent=True,
        pause_lane=isinstance(error, Unauthorized),
        requeue=throttled,
    )


def _follow(services: Services, job: Job, at: float) -> Decision:
    """End as the job ends that has the same idempotency key."""
    owner = services.store.jobs.outcome(job.duplicate_of or "")
    if owner is None:
        problem = f"job {job.duplicate_of}, which has the same idempotency key, is no longer known"
        return Finish(ending=JobResult(state=JobState.FAILED, reason=Reason.NOT_FOUND, error=problem))
    if JobState(owner["state"]).terminal:
        ending = JobResult(
            state=JobState(owner["state"]),
            reason=Reason(owner["reason"]) if owner["reason"] else None,
            error=owner["error"],
            images=tuple(owner["images"]),
            videos=tuple(owner["videos"]),
            model_id=owner["model_id"],
            generation_id=owner["generation_id"],
        )
        return Finish(ending=ending)
    return (
        Finish(ending=expired(job)) if at >= job.deadline_at else Reschedule(after=min(FOLLOW_S, job.deadline_at - at))
    )
