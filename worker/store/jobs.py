"""Jobs in Redis, from acceptance to their end."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Literal

from worker.domain.job import Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import Outcome, outcome
from worker.domain.start_time import start_due_at
from worker.domain.times import rfc3339
from worker.store.codec import FIELDS, decode, decode_outcome, dumps, encode, encode_outcome, pairs
from worker.store.keys import ID
from worker.store.lanes import Caps, TickPublisher, poll_lane
from worker.store.records import NO_UPDATE, Finished, JobAccepted, JobKnown, KeyConflict
from worker.store.state_change import (
    accepted_arguments,
    batch_arguments,
    batch_end_arguments,
    duration_arguments,
    ended_arguments,
    event_arguments,
    file_arguments,
    move_arguments,
    poll_fields,
    result_arguments,
    results_lane_arguments,
    trigger_arguments,
    webhook_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import redis

    from worker.domain.decision import Submitted
    from worker.domain.delivery import BodyOptions
    from worker.store.lanes import Tick
    from worker.store.records import ResultUpdate, Retention, Unaccepted
    from worker.store.scripts import Scripts

RESULT_HEAD_START_S = 10.0
"""How long the worker that ends a job has to get its result stored before others send the message again."""


class Jobs:
    """Reads and writes jobs. Each write is one script, and safe to repeat."""

    def __init__(  # noqa: PLR0913 - all that the scripts need
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        retention: Retention,
        caps: Caps,
        clock: Callable[[], float],
        bodies: BodyOptions,
    ) -> None:
        """Use one client; `clock` returns Redis' time in epoch seconds."""
        self._client: Any = client  # redis-py types its answers for a sync and an async client at once
        self._keys = scripts.keys
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._retention = retention
        self._caps = caps
        self._clock = clock
        self._bodies = bodies

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None if it has no record."""
        values: list[str | None] = self._client.hmget(self._keys.job(job_id), list(FIELDS))
        return decode(values) if values[0] is not None else None

    def outcome(self, job_id: str) -> Outcome | None:
        """Return a job's outcome, final or not, or None if it has no record."""
        record = self._client.hgetall(self._keys.job(job_id))
        return decode_outcome(record) if record else None

    def accept(self, job: Job, *, digest: str, continuation: str = "") -> JobAccepted | JobKnown | KeyConflict:
        """Store a new job and schedule its trigger; `continuation` is '' without a canvas."""
        timestamp, state = rfc3339(job.created_at), JobState.QUEUED
        starts_in_s = max(0.0, (job.not_before or 0.0) - job.created_at)
        answer = self._scripts.accept(
            **event_arguments(self._keys, job, state, timestamp=timestamp, retention=self._retention),
            **webhook_arguments(self._keys, job, state, outcome(job), timestamp=timestamp, bodies=self._bodies),
            **trigger_arguments(self._keys),
            **batch_arguments(self._keys, job.batch),
            **accepted_arguments(self._keys, job),
            idempotency=self._keys.idempotency(job.idempotency_key or ""),
            idempotency_ttl=int(starts_in_s) + self._retention.idempotency_s if job.idempotency_key else 0,
            tenants=self._keys.tenants,
            digest=digest,
            ttl=int(job.deadline_at - job.created_at) + self._retention.record_s,
            job_pattern=self._keys.job(ID),
            duplicates_pattern=self._keys.duplicates(ID),
            tenant=job.tenant,
            deadline_in=max(job.deadline_at - self._clock(), 0.0),
            start_due_at=start_due_at(job),
            max_active=self._caps.active,
            is_generation=job.kind is not Kind.TRAINING,
            fields=pairs(encode(job, continuation)),
        )
        match answer[0]:
            case "known":
                return JobKnown(answer[1])
            case "conflict":
                return KeyConflict(answer[1])
        self._ticks.publish(Lane.TRIGGERS, answer[1])
        self._ticks.publish(Lane.DELIVERIES, answer[2])
        return JobAccepted()

    def record_intent(self, job: Job, *, model_fingerprint_before: str | None = None) -> str | None:
        """Record that PhotoGPT is about to be asked to start a job; return the intent's time as it is stored.

        None means: do not ask, since the job has ended or another worker asks. A training also stores the model's
        fingerprint before the trigger.
        """
        intent = self._scripts.record_intent(
            job=self._keys.job(job.id),
            intents=self._keys.intents,
            id=job.id,
            asked_by=uuid.uuid4().hex,
            model_fingerprint=model_fingerprint_before,
        )
        return intent or None

    def record_acceptance(self, job: Job, intent: str) -> bool:
        """Record that PhotoGPT accepted a trigger without an id; False if its intent is no longer the open one."""
        return bool(self._scripts.record_acceptance(job=self._keys.job(job.id), intent=intent))

    def mark_submitted(
        self,
        job: Job,
        accepted: Submitted,
        *,
        poll_after: float,
        must_poll_after: float = 0,
        update: ResultUpdate = NO_UPDATE,
    ) -> int:
        """Store that PhotoGPT accepted the job, and schedule its first poll.

        Args:
            job: as it was claimed.
            accepted: PhotoGPT's answer.
            poll_after: seconds until the first poll.
            must_poll_after: seconds until the job is polled singly, whatever the list of jobs shows; after each single
                poll the list is trusted for as long again.
            update: the state that Celery shows.

        Returns:
            The number of jobs that are polled in its lane from now on; 0 if the job has ended or moved on.
        """
        submitted_at = self._clock()
        fields = {"submitted_at": rfc3339(submitted_at)}
        if accepted.generation_id:
            fields |= {
                "generation_id": accepted.generation_id,
                "must_poll_at": f"{min(submitted_at + must_poll_after, job.deadline_at):.3f}",
                "ends_at": f"{job.deadline_at:.3f}",  # a list defers no deadline
            }
        lanes = Lane.TRIGGERS, poll_lane(job)
        answer = self._advance(job, JobState.SUBMITTED, fields, lanes=lanes, poll_after=poll_after, update=update)
        return int(answer[3]) if self._publish_ticks(lanes[1], answer) else 0

    def mark_running(self, job: Job, *, poll_after: float, update: ResultUpdate = NO_UPDATE) -> bool:
        """Store that PhotoGPT works on the job; False if it has ended or moved on."""
        lanes, fields = (poll_lane(job), poll_lane(job)), poll_fields(job)
        answer = self._advance(job, JobState.RUNNING, fields, lanes=lanes, poll_after=poll_after, update=update)
        return self._publish_ticks(lanes[1], answer)

    def mark_all_running(self, jobs: Iterable[tuple[Job, ResultUpdate]], *, poll_after: float) -> None:
        """Store that PhotoGPT works on some generations, and poll each after that time or at its deadline."""
        pipeline, at, lanes = self._client.pipeline(transaction=False), self._clock(), (Lane.JOBS, Lane.JOBS)
        for job, update in jobs:
            after = min(poll_after, max(0.0, job.deadline_at - at))
            self._advance(job, JobState.RUNNING, {}, lanes=lanes, poll_after=after, update=update, pipeline=pipeline)
        for answer in pipeline.execute():
            self._publish_ticks(Lane.JOBS, answer)

    def count(self, job_id: str, field: Literal["faults", "lost"]) -> int:
        """Count a step that raised, or an answer that was lost; return how often, or 0 without a record."""
        return int(self._scripts.count(job=self._keys.job(job_id), field=field))

    def _advance(  # noqa: PLR0913 - one script
        self,
        job: Job,
        state: JobState,
        fields: dict[str, str],
        *,
        lanes: tuple[Lane, Lane],
        poll_after: float,
        update: ResultUpdate,
        pipeline: Any = None,
    ) -> Any:
        """Return the answer of the script, which a pipeline gives later."""
        timestamp, generation_id = fields.get("submitted_at") or rfc3339(self._clock()), fields.get("generation_id")
        shown = outcome(job) | {"state": state.value, "reason": None, "error": None, "retryable": None}
        if state is JobState.SUBMITTED:
            shown |= {"generation_id": generation_id, "submitted_at": timestamp}
        return self._scripts.advance(
            **event_arguments(self._keys, job, state, timestamp=timestamp, retention=self._retention),
            **webhook_arguments(self._keys, job, state, shown, timestamp=timestamp, bodies=self._bodies),
            **move_arguments(self._keys, *lanes),
            **result_arguments(self._keys, job, update),
            client=pipeline,
            deliveries_ttl=self._retention.deliveries_s,
            delay=poll_after,
            came_from=JobState.QUEUED if state is JobState.SUBMITTED else JobState.SUBMITTED,
            state=state,
            generation=generation_id,
            model=job.model_id if state is JobState.SUBMITTED and generation_id is None else None,
            result_kept=update.kept,
            fields=pairs(fields),
        )

    def _publish_ticks(self, lane: Lane, answer: list[Any]) -> bool:
        """Publish the ticks in an answer of `_advance`; False if the job has ended or moved on."""
        if answer[0]:
            self._ticks.publish(lane, answer[1])
            self._ticks.publish(Lane.DELIVERIES, answer[2])
        return bool(answer[0])

    def finish(  # noqa: PLR0913 - one script
        self,
        job: Job,
        final: Outcome,
        update: ResultUpdate | None,
        *,
        polled: bool = False,
        outcome_known: bool = False,
        intent: str | None = None,
        duration_s: float | None = None,
        store_files: bool = False,
        unaccepted: Unaccepted | None = None,
    ) -> Finished | None:
        """End a job; None if it has no record, has ended, or is no longer in the state of `job`, or with its intent.

        Args:
            job: as it was claimed.
            final: the outcome, with `finished_at` by Redis' clock.
            update: the Celery result to store with it; None if a message will store the result.
            polled: PhotoGPT was asked once more; counts as a poll.
            outcome_known: it is certain whether PhotoGPT created a generation, if it was asked to.
            intent: the time of the open intent, as stored, if it was recorded after `job` was read.
            duration_s: how long the generation took, for the polling schedule of others.
            store_files: let the job wait in the lane of files.
            unaccepted: set for a job that ends before it was accepted.
        """
        state, timestamp = JobState(final["state"]), final["finished_at"] or rfc3339(self._clock())
        fields = encode_outcome(final)
        if unaccepted is not None:
            fields = encode(job, unaccepted.continuation) | fields | {"digest": unaccepted.digest}
        answer = self._scripts.finish(
            **event_arguments(self._keys, job, state, timestamp=timestamp, retention=self._retention),
            **webhook_arguments(self._keys, job, state, final, timestamp=timestamp, bodies=self._bodies),
            **trigger_arguments(self._keys),
            **result_arguments(self._keys, job, update or NO_UPDATE),
            **batch_end_arguments(self._keys, job.batch),
            **duration_arguments(self._keys, job, duration_s),
            **file_arguments(self._keys, job.id),
            stores_files=store_files,
            **ended_arguments(self._keys, job, final, created=unaccepted is not None),
            deliveries_ttl=self._retention.deliveries_s,
            jobs=self._keys.lane(Lane.JOBS),
            models=self._keys.lane(Lane.MODELS),
            **results_lane_arguments(self._keys),
            head_start=RESULT_HEAD_START_S,
            duplicates=self._keys.duplicates(job.id),
            intents=self._keys.intents,
            ended_intents=self._keys.ended_intents,
            jobs_by_generation=self._keys.jobs_by_generation,
            recently_ended=self._keys.recently_ended,
            seen_state=job.state if unaccepted is None else None,
            retention=self._retention.record_s,
            polled=polled,
            data=dumps(final),
            outcome_known=outcome_known or job.state is not JobState.QUEUED,
            seen_intent=intent or (f"{job.intent_at:.6f}" if job.intent_at is not None else None),
            stores_result=update is not None,
            generation=job.generation_id,
            fields=pairs(fields),
        )
        if answer[0] == 0:
            return None
        for lane, tick in zip((Lane.RESULTS, Lane.DELIVERIES, Lane.TRIGGERS, Lane.FILES), answer[1:5], strict=True):
            self._ticks.publish(lane, tick)
        return Finished(continuation=(answer[5] or "") if update is None else None)

    def mark_published(self, job_id: str) -> None:
        """Record that the Celery result of a job is stored, so that its message is not sent again."""
        self._scripts.mark_published(
            job=self._keys.job(job_id),
            results=self._keys.lane(Lane.RESULTS),
            id=job_id,
            timestamp=rfc3339(self._clock()),
            retention=self._retention.record_s,
        )
