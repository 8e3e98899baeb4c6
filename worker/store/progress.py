"""The ledger of jobs between their begin and their end: asked for, triggered, looked at, put back."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from worker.domain.decision import Reschedule, Submitted
from worker.domain.delivery import Bodies, Delivery, event_type, plan
from worker.domain.job import SEQUENCE, Job, JobState, Kind
from worker.domain.outcome import outcome
from worker.domain.times import rfc3339
from worker.store import keys
from worker.store.deliveries import LIFE_S as DELIVERY_LIFE_S
from worker.store.keys import Lane
from worker.store.lanes import GAPS, Caps, Tick, TickPublisher
from worker.store.records import NO_UPDATE, Records, ResultUpdate, Retention

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from worker.store.scripts import Scripts


MAX_PAUSE_S = 60.0
"""How long a lane stands still, whatever PhotoGPT asks for: nobody in it sees a deadline pass meanwhile, and a few that
ask after it are enough to be told again."""


def last_polled_at(job: Job) -> Lane:
    """Name the lane in which a triggered job waits."""
    return Lane.MODELS if job.kind is Kind.TRAINING else Lane.JOBS


class Progress(Records):
    """What happens to a job that is known and has not ended. Every verb is one script, and safe to repeat."""

    def __init__(  # noqa: PLR0913 - what every verb needs
        self,
        client: redis.Redis,
        scripts: Scripts,
        *,
        retention: Retention,
        caps: Caps,
        clock: Callable[[], float],
        bodies: Bodies,
        publish_tick: Callable[[Tick], None],
    ) -> None:
        """Use one client; `clock` returns Redis' time in epoch seconds."""
        super().__init__(client)
        self._scripts = scripts
        self._retention = retention
        self._caps = caps
        self._clock = clock
        self._bodies = bodies
        self._ticks = TickPublisher(publish_tick)

    def record_intent(self, job: Job, *, model_fingerprint_before: str | None = None) -> str | None:
        """Write down that PhotoGPT is about to be asked; return the intent's time as stored. None means: do not ask.

        Args:
            job: as it was claimed.
            model_fingerprint_before: training: how the model was before.
        """
        args = [job.id, uuid.uuid4().hex, model_fingerprint_before or ""]
        return self._scripts.record_intent(keys=[keys.job(job.id), keys.INTENTS], args=args) or None

    def accepted_without_id(self, job: Job, intent: str) -> bool:
        """Write down that PhotoGPT said yes to an intent and named nothing; False if it is no longer the open one."""
        return bool(self._scripts.record_acceptance(keys=[keys.job(job.id)], args=[intent]))

    def mark_submitted(
        self,
        job: Job,
        accepted: Submitted,
        *,
        poll_after: float,
        p95_duration_s: float = 0,
        update: ResultUpdate = NO_UPDATE,
    ) -> bool:
        """Store that PhotoGPT accepted the job, and schedule its first poll; False if it has ended or moved on.

        Args:
            job: as it was claimed.
            accepted: PhotoGPT's answer.
            poll_after: seconds until the first poll.
            p95_duration_s: age at which the job is polled singly, whatever the list of jobs shows; after each single
                poll the list is trusted for as long again.
            update: the state that Celery shows.
        """
        return self._advance(
            job,
            JobState.SUBMITTED,
            came_from=(JobState.QUEUED,),
            lanes=(Lane.TRIGGERS, last_polled_at(job)),
            delay=poll_after,
            ours=accepted.generation_id or f"model:{job.model_id}",
            fields={
                "generation_id": accepted.generation_id,
                "must_poll_at": f"{min(self._clock() + p95_duration_s, job.deadline_at):.3f}",
                "ends_at": f"{job.deadline_at:.3f}",  # a list puts off no deadline
            }
            if accepted.generation_id
            else {},
            update=update,
        )

    def mark_running(self, job: Job, *, poll_after: float, update: ResultUpdate = NO_UPDATE) -> bool:
        """Store that PhotoGPT works on the job; False if it has ended or moved on."""
        lane = last_polled_at(job)
        return self._advance(
            job,
            JobState.RUNNING,
            came_from=(JobState.SUBMITTED,),
            lanes=(lane, lane),
            delay=poll_after,
            ours="",
            fields={"polls": str(job.polls)}
            | ({"last_polled_at": f"{job.last_polled_at:.6f}"} if job.last_polled_at else {}),
            update=update,
        )

    def reschedule(self, lane: Lane, waiting: list[tuple[Job, Reschedule]]) -> None:
        """Put claimed jobs back, each for its own time."""
        if not waiting:
            return
        pause = min(MAX_PAUSE_S, max((again.after for _, again in waiting if again.pause_lane), default=0))
        args: list[Any] = []
        for job, again in waiting:
            args += [job.id, f"{again.after:.3f}", again.reason or "", again.error or ""]
            args += [int(again.polled), (again.intent or 1) if again.clear_intent else 0]
        answer = self._scripts.reschedule(
            keys=[keys.lane(lane), keys.loop(lane), keys.INTENTS, *(keys.job(job.id) for job, _ in waiting)],
            args=[GAPS[lane], f"{pause:.3f}", *args],
        )
        self._ticks.publish(lane, answer)

    def requeue(self, refused: list[tuple[Job, Reschedule]]) -> None:
        """Put jobs back into the queue that PhotoGPT had no room for, and learn from it how much it takes."""
        if not refused:
            return
        lane, at = Lane.TRIGGERS, self._clock()
        args: list[Any] = []
        for job, again in refused:
            left = f"{max(0.0, job.deadline_at - at):.3f}"
            args += [job.id, job.tenant or "", left, again.reason or "", again.error or "", again.intent or 1]
        queue = [keys.QUEUE, keys.lane(lane), keys.loop(lane), keys.ACTIVE, keys.TENANTS, keys.INTENTS]
        queue += [keys.lane(Lane.JOBS)]
        answer = self._scripts.requeue(
            keys=[*queue, *(keys.job(job.id) for job, _ in refused)],
            args=[GAPS[lane], f"{min(MAX_PAUSE_S, max(again.after for _, again in refused)):.3f}", *args],
        )
        self._ticks.publish(lane, answer)

    def _advance(  # noqa: PLR0913 - one record of arguments for one script
        self,
        job: Job,
        state: JobState,
        *,
        came_from: tuple[JobState, ...],
        lanes: tuple[Lane, Lane],
        delay: float,
        ours: str,
        fields: dict[str, str],
        update: ResultUpdate,
    ) -> bool:
        at = self._clock()
        seen = outcome(job) | {"state": state.value, "reason": None, "error": None, "retryable": None}
        if state is JobState.SUBMITTED:
            seen |= {"generation_id": fields.get("generation_id"), "submitted_at": rfc3339(at)}
            fields = fields | {"submitted_at": rfc3339(at)}
        planned = plan(job, state, seen, at=at, bodies=self._bodies)
        old, new = lanes
        answer = self._scripts.advance(
            keys=[
                keys.job(job.id),
                keys.events(job.id),
                keys.EVENTS,
                keys.lane(old),
                keys.lane(new),
                keys.loop(new),
                keys.INTENTS,
                keys.GENERATIONS,
                keys.deliveries(job.id),
                keys.lane(Lane.DELIVERIES),
                keys.loop(Lane.DELIVERIES),
                keys.JOBS_BY_GENERATION,
                keys.ACTIVE,
                update.key or keys.job(job.id),
                *(keys.delivery(item.id) for item in planned),
            ],
            args=[
                job.id,
                f",{','.join(came_from)},",
                f"{delay:.3f}",
                GAPS[new],
                GAPS[Lane.DELIVERIES],
                self._retention.events_max_length,
                DELIVERY_LIFE_S,
                ours,
                event_type(job, state),
                SEQUENCE[state],
                rfc3339(at),
                "",
                *(update.ttl, update.text, update.kept),
                *flat(fields | {"state": state.value}),
                *webhooks(planned),
            ],
        )
        if answer[0] == 0:
            return False
        self._ticks.publish(new, answer[1])
        self._ticks.publish(Lane.DELIVERIES, answer[2])
        return True


def flat(fields: dict[str, str]) -> list[str | int]:
    """Return the number of values, then names and values in turn."""
    pairs = [text for pair in fields.items() for text in pair]
    return [len(pairs), *pairs]


def webhooks(planned: list[Delivery]) -> list[str]:
    return [text for item in planned for text in (item.id, item.type, item.url, item.body)]
