"""Polls one generation, or one model in training, once. Only a job's deadline or PhotoGPT's own word ends it."""

from __future__ import annotations

import time
from dataclasses import replace

from worker.domain.backoff import MAX_RETRY_AFTER_S, jittered, obeying
from worker.domain.decision import Finish, Reschedule, Running
from worker.domain.durations import measured_duration
from worker.domain.errors import ApiError, Refused, Throttled, Unauthorized
from worker.domain.job import Job, JobState, Kind
from worker.domain.list_poll import defer_s, is_active, is_control_sample
from worker.domain.outcome import JobResult, expired
from worker.domain.poll_schedule import unknown_status_delay
from worker.domain.reason import Reason
from worker.domain.text import truncate
from worker.photogpt.client import TRAINING_FAILED, UNFINISHED, UNTRAINED, GenerationStatus, ModelStatus
from worker.services import Services
from worker.telemetry import recorder
from worker.telemetry.logs import event
from worker.telemetry.metrics import NOTICE_DELAY, POLLS

JITTER = 0.02  # of a delay; 0.05 made p99 longer than without, and saved no request
MIN_THROTTLED_S = 1.0  # pause after a 429, even if its Retry-After is shorter
MAX_STATUS_LENGTH = 100  # characters of a status
MAX_ERROR_LENGTH = 2000  # characters of PhotoGPT's reason for a failure, which goes into every record of it

PollDecision = Reschedule | Running | Finish

MAX_UNKNOWN_STATUSES = 100

_unknown_statuses: set[str] = set()  # logged once each by this process; later ones beyond the maximum are not logged


def poll(services: Services, job: Job, at: float) -> PollDecision:
    """Poll one job once. An error of the API never fails a job; only its deadline does.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    began = time.monotonic()
    try:
        decision: PollDecision
        if job.kind is Kind.TRAINING:
            decision = _read_model(services, job, services.photogpt.model(job.model_id or ""), at)
        else:
            if job.webhook_url and job.duration_s is not None:  # a list poll shows it as ended, perhaps among many
                services.pace.wait()
            decision = _read_generation(services, job, services.photogpt.generation(job.generation_id or ""), at)
        if not isinstance(decision, Finish):
            decision = replace(decision, after=_after_answer(services, decision.after, time.monotonic() - began))
    except ApiError as error:
        decision = _on_api_error(services, job, error, at)
    recorder.count(POLLS, job.kind, "yes" if isinstance(decision, Finish) else "no")
    if at >= job.deadline_at and not isinstance(decision, Finish):
        status = decision.photogpt_status or job.photogpt_status
        return Finish(expired(replace(job, photogpt_status=status)), polled=True)
    return decision


def next_poll_delay(services: Services, job: Job, at: float) -> float:
    """Return the seconds until the next poll of a job; the last poll falls on the deadline."""
    age = max(0.0, at - job.submitted_at) if job.submitted_at is not None else 0.0
    delay = services.store.schedules.of(job).next_age(age) - age
    if job.submitted_at is None and job.generation_id and not is_control_sample(job.generation_id):
        delay = max(delay, _list_poll_defers(services, at))
    delay = jittered(delay, spread=JITTER, random_fraction=services.random.random())
    return max(0.0, min(delay, job.deadline_at - at))


def _after_answer(services: Services, delay_s: float, poll_s: float) -> float:
    """Return what is left of the delay between two polls when the first has taken `poll_s`; at least the floor."""
    return max(min(delay_s, services.settings.job_poll_floor_s), delay_s - poll_s)


def _list_poll_defers(services: Services, at: float) -> float:
    """Return the seconds until the first single poll of a new generation that list polls will show; 0 without them."""
    interval_s = services.settings.job_poll_interval_s
    state = services.store.list_polls.state() if services.settings.list_polling else None
    return defer_s(interval_s) if is_active(state, at, interval_s) else 0.0


def _read_generation(services: Services, job: Job, seen: GenerationStatus, at: float) -> PollDecision:
    match seen.status:
        case "success":
            result = JobResult(state=JobState.SUCCEEDED, images=seen.images, videos=seen.videos, model_id=seen.model_id)
        case "failed":
            result = _failed(job, seen.error, seen.model_id)
        case _:
            working = seen.status == "running"
            return _still_under_way(services, job, at, seen.status, known=UNFINISHED, working=working)
    return Finish(result, polled=True, duration_s=_duration(services, job, at, seen.duration_s))


def _read_model(services: Services, job: Job, seen: ModelStatus, at: float) -> PollDecision:
    # until the training begins, the model shows what it showed before the trigger
    unchanged = job.state is JobState.SUBMITTED and seen.fingerprint == job.model_fingerprint_before
    if seen.status == "ready" and not unchanged:
        result = JobResult(state=JobState.SUCCEEDED)
        return Finish(result, polled=True, duration_s=_duration(services, job, at, None))
    if seen.status == "deleted":
        error = f"the model {job.model_id} was deleted while it was trained"
        return Finish(JobResult(state=JobState.FAILED, reason=Reason.NOT_FOUND, error=error), polled=True)
    if seen.status in TRAINING_FAILED and not unchanged:
        return Finish(_failed(job, seen.error, None), polled=True)
    working = seen.status not in {"new", "ready"} | TRAINING_FAILED
    return _still_under_way(services, job, at, seen.status, known=UNTRAINED | {"ready"}, working=working)


def _failed(job: Job, error: str | None, model_id: str | None) -> JobResult:
    """Return the result of a job whose generation failed at PhotoGPT."""
    reason = truncate(error or "no reason given", MAX_ERROR_LENGTH)
    return JobResult(
        state=JobState.FAILED,
        reason=Reason.GENERATION_FAILED,
        error=f"the generation failed at PhotoGPT: {reason}",
        model_id=model_id or job.model_id,
    )


def _still_under_way(  # noqa: PLR0913 - one poll's facts
    services: Services, job: Job, at: float, status: str, *, known: frozenset[str], working: bool
) -> PollDecision:
    shown = truncate(status, MAX_STATUS_LENGTH)
    if status not in known and shown not in _unknown_statuses and len(_unknown_statuses) < MAX_UNKNOWN_STATUSES:
        _unknown_statuses.add(shown)
        message = f"PhotoGPT's status {shown!r} is not documented; polling goes on"
        event("status.unknown", message, job=job.id, status=shown)
    after = next_poll_delay(services, job, at)
    if status not in known:
        after = min(max(after, unknown_status_delay(job, shown, at)), max(0.0, job.deadline_at - at))
    if working and job.state is JobState.SUBMITTED:
        return Running(after=after, at=at, photogpt_status=shown)
    return Reschedule(after=after, polled=True, photogpt_status=shown)


def _duration(services: Services, job: Job, at: float, by_record: float | None) -> float | None:
    """Return how long the generation took, by the list if it said so, else by PhotoGPT's record."""
    stated = by_record if job.duration_s is None else job.duration_s
    if stated is not None and job.submitted_at is not None:
        recorder.observe(NOTICE_DELAY, at - job.submitted_at - stated, job.kind)
    return measured_duration(job, at=at, stated=stated, random_fraction=services.random.random())


def _on_api_error(services: Services, job: Job, error: ApiError, at: float) -> PollDecision:
    if isinstance(error, Refused) and error.reason is Reason.NOT_FOUND:
        age = at - (job.submitted_at or at)
        repeated = job.reason is Reason.NOT_FOUND  # one 404 may come from a server that lags behind
        if repeated and age > services.settings.not_found_grace_s:
            message = f"PhotoGPT no longer knows the generation of job {job.id}: {error}"
            return Finish(JobResult(state=JobState.FAILED, reason=error.reason, error=message), polled=True)
    if isinstance(error, Unauthorized):
        event("api_key.rejected", f"{error}. Polls wait until it is accepted; no job fails", job=job.id, warn=True)
    planned_s = next_poll_delay(services, job, at)
    if isinstance(error, Throttled) and error.retry_after is not None:  # the lane pauses as long, not for an interval
        planned_s = min(planned_s, MIN_THROTTLED_S)
    wait = obeying(error.retry_after, planned_s, cap=MAX_RETRY_AFTER_S)
    return Reschedule(
        after=min(wait, max(0.0, job.deadline_at - at)),
        reason=error.reason,
        error=str(error),
        pause_lane=isinstance(error, Unauthorized | Throttled),
        polled=True,
    )
