"""Job -> one look at its generation. What is not the job's fault never ends it; its own deadline does."""

from __future__ import annotations

from worker.domain.backoff import jittered, obeying
from worker.domain.decision import Decision, Finish, Reschedule, Running
from worker.domain.durations import took
from worker.domain.errors import ApiError, Refused, Throttled, Unauthorized
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.domain.text import truncate
from worker.photogpt.client import GenerationStatus, ModelStatus
from worker.services import Services
from worker.steps.reconcile import model_fingerprint
from worker.steps.trigger import expired
from worker.telemetry.logs import event

JITTER = 0.05
KEY_CHECK_S = 15.0  # between two sweeps with a key that is not accepted
FIRST_SWEPT = 1.3  # intervals until the first look where sweeps go on: one of them sees it before
MAX_WAIT_S = 600.0  # that a Retry-After is believed
MAX_REASON = 2000  # characters of PhotoGPT's own words on a failure; they go to every place that tells of it

UNFINISHED = frozenset({"created", "queued", "running"})  # docs/jobs
UNTRAINED = frozenset({"new", "training"})  # docs/models; "typical", so others may come
TRAINING_FAILED = frozenset({"failed", "error"})  # not documented, and not to be mistaken


def poll(services: Services, job: Job, at: float) -> Decision:
    """Look once.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    try:
        if job.kind is Kind.TRAINING:
            decision = _read_model(services, job, services.photogpt.model(job.model_id or ""), at)
        else:
            decision = _read_generation(services, job, services.photogpt.generation(job.generation_id or ""), at)
    except ApiError as error:
        decision = on_api_error(services, job, error, at)
    if at >= job.deadline_at and not isinstance(decision, Finish):
        return Finish(ending=expired(job), polled=True)
    return decision


def next_poll_delay(services: Services, job: Job, at: float) -> float:
    """Return the seconds until the next look; the last one falls on the deadline."""
    age = max(0.0, at - job.submitted_at) if job.submitted_at is not None else 0.0
    gap = services.store.schedules.of(job).next_age(age) - age
    if job.submitted_at is None and job.kind is not Kind.TRAINING:
        gap = max(gap, list_polled_by(services, at))
    return max(
        0.0, min(jittered(gap, spread=JITTER, random_fraction=services.random_fraction.random()), job.deadline_at - at)
    )


def list_polled_by(services: Services, at: float) -> float:
    """Return the age by which a sweep will have seen a young generation, seconds; 0 if sweeps are not worth while."""
    known = services.store.list_polls.state() if services.settings.list_polling else None
    if known is None or not known.window_s:
        return 0.0
    a_while = FIRST_SWEPT * (services.settings.job_poll_interval_s + known.seconds)
    return known.min_duration_s + a_while if at - known.at < a_while else 0.0


def _took(services: Services, job: Job, at: float, said: float | None) -> float | None:
    said = said if job.duration_s is None else job.duration_s
    return took(job, at=at, said=said, random_fraction=services.random_fraction.random())


def _read_generation(services: Services, job: Job, seen: GenerationStatus, at: float) -> Decision:
    match seen.status:
        case "success":
            ending = JobResult(state=JobState.SUCCEEDED, images=seen.images, videos=seen.videos, model_id=seen.model_id)
            return Finish(ending=ending, polled=True, duration_s=_took(services, job, at, seen.duration_s))
        case "failed":
            ending = _failed(job, seen.error, seen.model_id)
            return Finish(ending=ending, polled=True, duration_s=_took(services, job, at, seen.duration_s))
    return _go_on(services, job, at, seen.status, known=UNFINISHED, working=seen.status == "running")


def _read_model(services: Services, job: Job, seen: ModelStatus, at: float) -> Decision:
    stale = job.state is JobState.SUBMITTED and model_fingerprint(seen) == job.model_fingerprint_before
    if seen.status == "ready" and not stale:
        return Finish(
            ending=JobResult(state=JobState.SUCCEEDED), polled=True, duration_s=_took(services, job, at, None)
        )
    if seen.status == "deleted":
        problem = f"the model {job.model_id} was deleted while it was trained"
        return Finish(ending=JobResult(state=JobState.FAILED, reason=Reason.NOT_FOUND, error=problem), polled=True)
    if seen.status in TRAINING_FAILED and not stale:
        return Finish(ending=_failed(job, seen.error, None), polled=True)
    working = seen.status not in {"new", "ready"} | TRAINING_FAILED
    return _go_on(services, job, at, seen.status, known=UNTRAINED | {"ready"}, working=working)


def _failed(job: Job, error: str | None, model_id: str | None) -> JobResult:
    said = truncate(error or "no reason given", MAX_REASON)
    return JobResult(
        state=JobState.FAILED,
        reason=Reason.GENERATION_FAILED,
        error=f"PhotoGPT could not do it: {said}",
        model_id=model_id or job.model_id,
    )


def _go_on(  # noqa: PLR0913 - one sentence
    services: Services, job: Job, at: float, status: str, *, known: frozenset[str], working: bool
) -> Decision:
    after = next_poll_delay(services, job, at)
    if status not in known and status not in services.unknown_statuses:
        services.unknown_statuses.add(status)
        event("status.unknown", f"PhotoGPT says {status!r}, which its pages do not name; looking goes on", job=job.id)
    if working and job.state is JobState.SUBMITTED:
        return Running(after=after, at=at)
    return Reschedule(after=after, polled=True)


def on_api_error(services: Services, job: Job, error: ApiError, at: float) -> Decision:
    if isinstance(error, Refused) and error.reason is Reason.NOT_FOUND:
        age = at - (job.submitted_at or at)
        twice = job.reason is Reason.NOT_FOUND  # the look before said so, too: one server of theirs may lag behind
        if twice and age > services.settings.not_found_grace_s:
            problem = f"PhotoGPT no longer knows the generation of job {job.id}: {error}"
            return Finish(ending=JobResult(state=JobState.FAILED, reason=error.reason, error=problem), polled=True)
    wait = next_poll_delay(services, job, at)
    pause = isinstance(error, Unauthorized | Throttled)
    if isinstance(error, Unauthorized):
        event("api_key.rejected", f"{error}. Nothing is looked at until it is; no job fails", job=job.id, warn=True)
    after = min(obeying(error.retry_after, wait, cap=MAX_WAIT_S), max(0.0, job.deadline_at - at))
    return Reschedule(after=after, reason=error.reason, error=str(error), pause_lane=pause, polled=True)
