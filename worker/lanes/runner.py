"""One tick of a lane: claim what is due, see to all of it at once, write down what was seen."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from redis import RedisError

from worker.domain.decision import Decision, Finish, Reschedule, Running, Submitted
from worker.domain.job import Job, JobState
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.deliver import deliver
from worker.steps.list_poll import MAX_S, list_poll
from worker.steps.poll import list_polled_by, next_poll_delay, poll
from worker.steps.publish import complete, resend_task
from worker.steps.trigger import trigger
from worker.store import codec, deliveries, keys
from worker.store import list_poll as list_polls
from worker.store.connection import is_unavailable
from worker.store.keys import Lane
from worker.store.lanes import Claim, Tick
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage

T = TypeVar("T")

BURST = 128  # members of one claim at most; a full one wakes the next tick at once, here or in another worker
MARGIN_S = 5.0  # of a lease beyond the longest call
STAY_S = 3.0  # a tick goes on for this long while its lane comes due again and again
NEAR_S = 0.5  # and waits for so long itself; for longer, its message does
SWEPT_S = 0.4  # the pause between two full claims of generations while sweeps go on
BUSY_S = 0.25  # a tick that finds no thread free comes back after this long, to this worker or another
BUSY_QUICK_S = 0.05  # the same where calls are short
BROKEN_S = 1.0  # a job whose handling raised is tried again after this long, and longer each time
INSIST_S = 60.0  # that a generation is kept in hand which Redis refuses to write down
MAX_FAULTS = 5  # then it ends as `internal_error`


@dataclass(frozen=True, slots=True)
class LaneHandler:
    """How the members of a lane are read and seen to."""

    prefix: str
    fields: tuple[str, ...]
    decode: Callable[[list[str | None]], Any]
    step: Callable[[Services, Any, float], Decision | None]
    longest_s: Callable[[Services], float]


def tick(services: Services, lane: Lane, token: str) -> None:
    """Look after a lane. A token that was used before does nothing.

    What comes due in a moment is waited for here, for a while: a message costs more than all that a tick does.
    """
    ends = time.monotonic() + STAY_S
    following: Tick | None = Tick(lane, token, 0)
    while following is not None:
        if following.delay > NEAR_S or time.monotonic() + following.delay > ends:
            services.store.lanes.publish(following)
            return
        if services.stopping.wait(following.delay):
            services.store.lanes.publish(replace(following, delay=0))
            return
        following = _tick(services, lane, following.token)


def _tick(services: Services, lane: Lane, token: str) -> Tick | None:
    """Claim what is due and hand it to the lane's threads; return what the lane needs next, unless others see to it."""
    pool = services.pools[lane]
    room = pool.acquire_slots(BURST)
    if not room and pool.quick and not services.stopping.wait(BUSY_QUICK_S):  # a message costs more than that
        room = pool.acquire_slots(BURST)
    if not room:
        services.store.lanes.publish(Tick(lane, token, BUSY_QUICK_S if pool.quick else BUSY_S))
        return None
    claimed = 0
    try:
        claim = _hand_over(services, lane, token, room)
        if claim is None:
            return None
        claimed = len(claim.records)
    except RedisError as error:
        if not is_unavailable(error):
            raise
        REDIS_OUTAGES[lane].report(error)
        return None
    finally:
        pool.release_slots(room - claimed)
    if claimed < room:
        return claim.next_tick
    # a backlog: for whichever worker has a thread free; a sweep may see to most of it, if it is let
    wait = SWEPT_S if lane is Lane.JOBS and list_polled_by(services, services.store.clock()) else 0.0
    if claim.next_tick is not None:
        services.store.lanes.publish(replace(claim.next_tick, delay=max(claim.next_tick.delay, wait)))
    return None


def _hand_over(services: Services, lane: Lane, token: str, room: int) -> Claim | None:
    """Claim up to `room` members and hand them to the lane's threads; None if the token was used before."""
    how = LANE_HANDLERS[lane]
    longest = how.longest_s(services)
    if lane is Lane.TRIGGERS:
        services.store.lanes.admit(2 * BURST)
    claim = services.store.lanes.claim(
        lane, token, limit=room, lease=longest + MARGIN_S, prefix=how.prefix, fields=how.fields
    )
    if claim is None:
        return None
    REDIS_OUTAGES[lane].resolve()
    latest_start = claim.lease_ends - longest
    for record in claim.records:
        services.pools[lane].submit(
            partial(run_step, services, lane, record, latest_start), partial(_put_back, services, lane)
        )
    return claim


def _put_back(services: Services, lane: Lane, waiting: list[tuple[Job, Reschedule]]) -> None:
    """Write down what only comes back, all of it at once."""
    refused = [(job, again) for job, again in waiting if again.requeue]
    try:
        services.store.jobs.requeue(refused)
        services.store.jobs.reschedule(lane, [found for found in waiting if not found[1].requeue])
    except RedisError as error:
        if is_unavailable(error):
            REDIS_OUTAGES[lane].report(error)
        else:
            event(
                "lane.write_failed", "putting jobs back raised; seen to when their lease ends", exc_info=True, lane=lane
            )


def run_step(
    services: Services, lane: Lane, record: list[str | None], latest_start: float
) -> tuple[Job, Reschedule] | None:
    """Run one step; return what has to be put back. A call that the lease cannot cover is not begun."""
    if time.monotonic() > latest_start:
        return None
    how = LANE_HANDLERS[lane]
    try:
        member = how.decode(record)
        if services.stopping.is_set() and how.prefix == keys.JOB:
            return member, Reschedule(after=0, reason=member.reason, error=member.error)  # for another worker, at once
        decision = how.step(services, member, services.store.clock())
        return apply(services, member, decision) if decision is not None else None
    except Exception as error:  # noqa: BLE001 - one bad record must not stop its lane
        return _fault(services, lane, record, error)


def _fault(services: Services, lane: Lane, record: list[str | None], error: Exception) -> tuple[Job, Reschedule] | None:
    """Tell an outage, which is nobody's fault, from a record that cannot be handled."""
    if not (isinstance(error, RedisError) and is_unavailable(error)):
        event("step.failed", "handling raised", exc_info=True, id=record[0])
        try:
            return count_fault(services, record, error) if LANE_HANDLERS[lane].prefix == keys.JOB else None
        except RedisError as away:
            error = away
    REDIS_OUTAGES[lane].report(error)
    return None


def count_fault(services: Services, record: list[str | None], error: Exception) -> tuple[Job, Reschedule] | None:
    """Try a job again whose handling raised, a few times; then end it, so that it holds up nobody."""
    try:
        job = codec.decode(record)
    except (ValueError, KeyError):
        job = codec.salvage(record, at=services.store.clock())
    count = services.store.jobs.count_fault(job.id)
    digest = hashlib.sha256("".join(traceback.format_exception(error)).encode()).hexdigest()[:12]
    said = f"handling job {job.id} raised {type(error).__name__} (traceback {digest} in the worker's log)"
    if count < MAX_FAULTS:
        return job, Reschedule(after=BROKEN_S * count, reason=Reason.INTERNAL_ERROR, error=said)
    problem = f"{said}, {count} times; photogpt-worker replay {job.id} enqueues it afresh"
    complete(services, job, JobResult(state=JobState.FAILED, reason=Reason.INTERNAL_ERROR, error=problem))
    return None


def apply(services: Services, job: Job, decision: Decision) -> tuple[Job, Reschedule] | None:
    """Write one decision down: at once what the world waits for, in a batch what only comes back."""
    match decision:
        case Reschedule(accepted_without_id=True, intent=str(intent)):
            ours = retry_write(lambda: services.store.jobs.accepted_without_id(job, intent))
            return (job, decision) if ours else None
        case Reschedule():
            return job, decision
        case Submitted():
            current = retry_write(lambda: _write_submitted(services, job, decision))
            event("job.submitted", "triggered", job=job.id, kind=job.kind, generation=decision.generation_id)
            _report_update(job, decision.generation_id, current=current)
        case Running(after, at):
            seen = replace(job, polls=job.polls + 1, last_polled_at=at)
            update = services.publisher.progress(job, JobState.RUNNING, job.generation_id)
            current = services.store.jobs.mark_running(seen, poll_after=after, update=update)
            _report_update(job, job.generation_id, current=current)
        case Finish():
            complete(
                services,
                job,
                decision.ending,
                polled=decision.polled,
                outcome_known=decision.outcome_known,
                duration_s=decision.duration_s,
            )
    return None


def _write_submitted(services: Services, job: Job, accepted: Submitted) -> bool:
    after = next_poll_delay(services, job, services.store.clock())
    update = services.publisher.progress(job, JobState.SUBMITTED, accepted.generation_id)
    p95_duration_s = services.store.schedules.of(job).p95_duration_s
    return services.store.jobs.mark_submitted(
        job, accepted, poll_after=after, p95_duration_s=p95_duration_s, update=update
    )


def retry_write(write: Callable[[], T]) -> T:
    """Repeat a write that Redis refuses: what it says was paid for, and nobody else knows it."""
    ends = time.monotonic() + INSIST_S
    while True:
        try:
            return write()
        except RedisError as error:
            if not is_unavailable(error) or time.monotonic() > ends:
                raise
            time.sleep(1)


def _report_update(job: Job, generation_id: str | None, *, current: bool) -> None:
    """Log that an answer of PhotoGPT came too late for its job."""
    if not current:
        event(
            "job.update_too_late",
            "it had ended, or moved on, when PhotoGPT's answer was written down",
            job=job.id,
            generation=generation_id,
        )


def _resume_again(services: Services, job: Job, at: float) -> None:
    """Send a continuation once more: its result is not known to be stored."""
    del at
    event("result.resent", "its Celery result is not stored yet; asked for again", job=job.id)
    resend_task(services, job, services.store.jobs.continuation(job.id) or "")


def _jobs(
    step: Callable[[Services, Job, float], Decision | None], longest_s: Callable[[Services], float]
) -> LaneHandler:
    return LaneHandler(keys.JOB, codec.FIELDS, codec.decode, step, longest_s)


def _deliveries() -> LaneHandler:
    return LaneHandler(
        keys.DELIVERY,
        deliveries.FIELDS,
        deliveries.decode,
        deliver,
        lambda services: services.settings.webhook_deadline_s,
    )


def _api_call(services: Services) -> float:
    return services.settings.api_call_deadline_s


def _webhook_call(services: Services) -> float:
    return services.settings.webhook_deadline_s


LANE_HANDLERS: dict[Lane, LaneHandler] = {
    Lane.TRIGGERS: _jobs(trigger, _api_call),
    Lane.JOBS: _jobs(poll, _api_call),
    Lane.MODELS: _jobs(poll, _api_call),
    Lane.LIST_POLLS: LaneHandler(keys.SWEEP, list_polls.FIELDS, list_polls.decode, list_poll, lambda _: MAX_S),
    Lane.RESULTS: _jobs(_resume_again, lambda _: 10.0),
    Lane.DELIVERIES: _deliveries(),
    Lane.REDELIVERIES: _deliveries(),
}
"""Every lane, and what is done with its members."""

REDIS_OUTAGES = {
    lane: Outage(
        "redis.unavailable", "Redis does not answer; what was claimed is seen to when its lease ends", lane=lane
    )
    for lane in Lane
}
"""What this process knows of Redis from its lanes: one line for all members that an outage meets."""
