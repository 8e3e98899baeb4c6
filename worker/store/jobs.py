"""The ledger of jobs, from begin to end."""

from __future__ import annotations

from typing import Any

from worker.domain.delivery import Delivery, event_type, plan
from worker.domain.durations import duration_group
from worker.domain.job import SEQUENCE, Job, JobState, Kind
from worker.domain.outcome import Outcome, outcome
from worker.domain.poll_schedule import bin_of
from worker.domain.times import epoch, rfc3339
from worker.store import keys
from worker.store.codec import dumps, encode, encode_outcome
from worker.store.deliveries import LIFE_S as DELIVERY_LIFE_S
from worker.store.durations import LIFE_S as DURATIONS_LIFE_S
from worker.store.keys import Lane
from worker.store.lanes import GAPS
from worker.store.progress import Progress, flat, webhooks
from worker.store.records import NO_UPDATE, Finished, JobAccepted, JobKnown, KeyConflict, ResultUpdate

RESULT_HEAD_START_S = 10.0
"""How long the worker that ended a job has to get its Celery result stored before others see to it."""


class Jobs(Progress):
    """The ledger of jobs. Every verb is one script, and safe to repeat."""

    def accept(self, job: Job, *, digest: str, continuation: str = "") -> JobAccepted | JobKnown | KeyConflict:
        """Write a new job down and park it to be triggered; `continuation` is '' where no canvas hangs on it."""
        planned = plan(job, JobState.QUEUED, outcome(job), at=job.created_at, bodies=self._bodies)
        fields = encode(job) | _canvas(continuation)
        ttl = int(job.deadline_at - job.created_at) + self._retention.record_s
        answer = self._scripts.accept(
            keys=[
                keys.job(job.id),
                keys.events(job.id),
                keys.EVENTS,
                keys.lane(Lane.TRIGGERS),
                keys.loop(Lane.TRIGGERS),
                keys.idempotency(job.idempotency_key or ""),
                keys.deliveries(job.id),
                keys.lane(Lane.DELIVERIES),
                keys.loop(Lane.DELIVERIES),
                keys.QUEUE,
                keys.TENANTS,
                keys.ACTIVE,
                *(keys.delivery(item.id) for item in planned),
            ],
            args=[
                job.id,
                digest,
                ttl,
                self._retention.idempotency_s if job.idempotency_key else 0,
                self._retention.events_max_length,
                GAPS[Lane.TRIGGERS],
                GAPS[Lane.DELIVERIES],
                event_type(job, JobState.QUEUED),
                rfc3339(job.created_at),
                keys.JOB,
                job.tenant or "",
                f"{job.deadline_at - job.created_at:.3f}",
                self._caps.active,
                int(job.kind is not Kind.TRAINING),
                *flat(fields),
                *webhooks(planned),
            ],
        )
        match answer[0]:
            case "known":
                return JobKnown(answer[1])
            case "conflict":
                return KeyConflict(answer[1])
            case _:
                self._ticks.publish(Lane.TRIGGERS, answer[1])
                self._ticks.publish(Lane.DELIVERIES, answer[2])
                return JobAccepted()

    def finish(  # noqa: PLR0913 - one record of arguments for one script
        self,
        job: Job,
        outcome: Outcome,
        update: ResultUpdate | None,
        *,
        polled: bool = False,
        outcome_known: bool = False,
        duration_s: float | None = None,
        create: str | None = None,
        digest: str = "",
    ) -> Finished | None:
        """End a job; None if it had ended, is not known, or is no longer in the state in which the caller saw it.

        Args:
            job: as it was claimed.
            outcome: the final outcome, with `finished_at` by Redis' clock.
            update: the Celery result to store with it; None if a message will store the result.
            polled: PhotoGPT was asked once more; counts as a poll.
            outcome_known: it is certain whether PhotoGPT created a generation, if it was asked to.
            duration_s: how long the generation took, for the polling schedule of others.
            create: the continuation of a job that ends before it was accepted.
            digest: of the body of such a job.
        """
        state, finished_at = JobState(outcome["state"]), outcome["finished_at"] or rfc3339(self._clock())
        planned = plan(job, state, outcome, at=epoch(finished_at), bodies=self._bodies)
        fields = encode_outcome(outcome)
        if create is not None:
            fields = encode(job) | fields | _canvas(create) | {"digest": digest}
        result = update or NO_UPDATE
        answer = self._scripts.finish(
            keys=_finish_keys(job, planned, result),
            args=[
                job.id,
                job.state if create is None else "",
                self._retention.record_s,
                self._retention.events_max_length,
                GAPS[Lane.TRIGGERS],
                GAPS[Lane.RESULTS],
                GAPS[Lane.DELIVERIES],
                RESULT_HEAD_START_S,
                int(polled),
                event_type(job, state),
                SEQUENCE[state],
                finished_at,
                dumps(outcome),
                max(DELIVERY_LIFE_S, self._retention.record_s),
                int(outcome_known or job.state is not JobState.QUEUED),
                int(job.intent_at is not None),
                *(int(update is not None), result.ttl, result.text),
                *(bin_of(duration_s) if duration_s is not None else "", DURATIONS_LIFE_S, job.generation_id or ""),
                *flat(fields),
                *webhooks(planned),
            ],
        )
        if answer[0] == 0:
            return None
        for lane, tick in zip((Lane.RESULTS, Lane.DELIVERIES, Lane.TRIGGERS), answer[1:4], strict=True):
            self._ticks.publish(lane, tick)
        return Finished(continuation=(answer[4] or "") if update is None else None)

    def count_fault(self, job_id: str) -> int:
        """Count that handling a job raised; return how often it has."""
        return self._count(job_id, "faults")

    def count_lost(self, job_id: str) -> int:
        """Count that an answer to a job's trigger was lost and nothing had been created; return how often that was."""
        return self._count(job_id, "lost")

    def _count(self, job_id: str, field: str) -> int:
        if not self._client.exists(keys.job(job_id)):
            return 0
        count: Any = self._client.hincrby(keys.job(job_id), field, 1)
        return int(count)

    def mark_published(self, job_id: str) -> None:
        """Write down that the Celery result is stored: nobody has to see to it any more."""
        if not self._client.exists(keys.job(job_id)):
            return
        pipeline = self._client.pipeline(transaction=True)
        pipeline.zrem(keys.lane(Lane.RESULTS), job_id)
        pipeline.hset(keys.job(job_id), "published_at", rfc3339(self._clock()))
        pipeline.expire(keys.job(job_id), self._retention.record_s)
        pipeline.execute()


def _canvas(continuation: str) -> dict[str, str]:
    return {"continuation": continuation} if continuation else {}


def _finish_keys(job: Job, planned: list[Delivery], update: ResultUpdate) -> list[str]:
    return [
        keys.job(job.id),
        keys.events(job.id),
        keys.EVENTS,
        keys.lane(Lane.TRIGGERS),
        keys.loop(Lane.TRIGGERS),
        keys.lane(Lane.JOBS),
        keys.lane(Lane.MODELS),
        keys.lane(Lane.RESULTS),
        keys.loop(Lane.RESULTS),
        keys.lane(Lane.DELIVERIES),
        keys.loop(Lane.DELIVERIES),
        keys.deliveries(job.id),
        keys.duplicates(job.id),
        keys.INTENTS,
        keys.ACTIVE,
        keys.QUEUE,
        update.key or keys.job(job.id),
        keys.durations(duration_group(job)),
        keys.JOBS_BY_GENERATION,
        keys.ENDED,
        *(keys.delivery(item.id) for item in planned),
    ]
