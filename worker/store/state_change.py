"""The script arguments that several changes of a job's state share: event, webhooks, result, totals and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from worker.domain.delivery import event_type, plan
from worker.domain.durations import duration_group
from worker.domain.job import SEQUENCE, Batch, Job, JobState
from worker.domain.lane import Lane
from worker.domain.poll_schedule import bin_of
from worker.domain.reason import Reason
from worker.domain.times import epoch
from worker.store.durations import RETENTION_S
from worker.store.keys import ID, Keys
from worker.store.lanes import MIN_TICK_GAP_S
from worker.store.totals import total_name
from worker.telemetry.metrics import JOBS_ACCEPTED, JOBS_ENDED, NO_REASON

if TYPE_CHECKING:
    from worker.domain.delivery import BodyOptions, Delivery
    from worker.domain.outcome import Outcome
    from worker.store.records import ResultUpdate, Retention


class EventArguments(TypedDict):
    """The job, and the event that is appended to its stream and to that of all jobs."""

    job: str
    events: str
    all_events: str
    event_draft: str
    id: str
    event_type: str
    sequence: int
    timestamp: str
    stream_length: int


class WebhookArguments(TypedDict):
    """The webhooks that are stored and scheduled."""

    job_deliveries: str
    deliveries: str
    deliveries_loop: str
    delivery_records: list[str]
    deliveries_gap: float
    webhooks: list[str]


class TriggerArguments(TypedDict):
    """The lane of triggers, and the admission queue in front of it."""

    triggers: str
    triggers_loop: str
    triggers_gap: float
    queue: str
    active: str


class MoveArguments(TypedDict):
    """The lane that a job leaves, the one in which it waits next, and what else names it."""

    old_lane: str
    new_lane: str
    new_loop: str
    gap: float
    intents: str
    ended_intents: str
    generations: str
    jobs_by_generation: str
    active: str


class ResultArguments(TypedDict):
    """The Celery result of a job, or its state on the way."""

    result: str
    result_ttl: int
    result_text: str


class ResultsLaneArguments(TypedDict):
    """The lane of results that are not stored yet."""

    results: str
    results_loop: str
    results_gap: float


class BatchArguments(TypedDict):
    """The batch of a job, which counts how its jobs end."""

    batch: str
    batch_id: str
    batch_total: int


class BatchEndArguments(BatchArguments):
    """The same, and the events of the batches that a job counts for."""

    batch_events: str
    batch_pattern: str
    batch_events_pattern: str


class FileArguments(TypedDict):
    """The lane of files, and how far the files of the job are."""

    files: str
    files_loop: str
    files_gap: float
    progress: str


class TotalsArguments(TypedDict):
    """The totals that a script raises by one."""

    totals: str
    counted: list[str]


class DurationArguments(TypedDict):
    """The duration of a generation, for the poll schedule of its group."""

    durations: str
    duration_bin: int | None
    durations_ttl: int


def event_arguments(keys: Keys, job: Job, state: JobState, *, timestamp: str, retention: Retention) -> EventArguments:
    """Return the arguments for the event that a job has entered a state."""
    return {
        "job": keys.job(job.id),
        "events": keys.events(job.id),
        "all_events": keys.all_events,
        "event_draft": keys.event_draft,
        "id": job.id,
        "event_type": event_type(job, state),
        "sequence": SEQUENCE[state],
        "timestamp": timestamp,
        "stream_length": retention.events_max_length,
    }


def webhook_arguments(  # noqa: PLR0913 - all that a webhook is made of
    keys: Keys, job: Job, state: JobState, outcome: Outcome, *, timestamp: str, bodies: BodyOptions
) -> WebhookArguments:
    """Return the arguments for the webhooks of that event."""
    return webhook_targets(keys, job, plan(job, state, outcome, at=epoch(timestamp), body=bodies))


def webhook_targets(keys: Keys, job: Job, planned: list[Delivery]) -> WebhookArguments:
    """Return the arguments for planned webhooks."""
    return {
        "job_deliveries": keys.deliveries(job.id),
        "deliveries": keys.lane(Lane.DELIVERIES),
        "deliveries_loop": keys.loop(Lane.DELIVERIES),
        "delivery_records": [keys.delivery(delivery.id) for delivery in planned],
        "deliveries_gap": MIN_TICK_GAP_S[Lane.DELIVERIES],
        "webhooks": [text for each in planned for text in _webhook_values(each)],
    }


def _webhook_values(delivery: Delivery) -> tuple[str, ...]:
    return delivery.id, delivery.type, delivery.url, delivery.body, delivery.traceparent or ""


def trigger_arguments(keys: Keys) -> TriggerArguments:
    """Return the arguments for the lane of triggers."""
    return {
        "triggers": keys.lane(Lane.TRIGGERS),
        "triggers_loop": keys.loop(Lane.TRIGGERS),
        "triggers_gap": MIN_TICK_GAP_S[Lane.TRIGGERS],
        "queue": keys.queue,
        "active": keys.active,
    }


def results_lane_arguments(keys: Keys) -> ResultsLaneArguments:
    """Return the arguments that let the result of a job be stored by a message."""
    lane = Lane.RESULTS
    return {"results": keys.lane(lane), "results_loop": keys.loop(lane), "results_gap": MIN_TICK_GAP_S[lane]}


def move_arguments(keys: Keys, old: Lane, new: Lane) -> MoveArguments:
    """Return the arguments that move a job from one lane to another, or to another time in the same."""
    return {
        "old_lane": keys.lane(old),
        "new_lane": keys.lane(new),
        "new_loop": keys.loop(new),
        "gap": MIN_TICK_GAP_S[new],
        "intents": keys.intents,
        "ended_intents": keys.ended_intents,
        "generations": keys.generations,
        "jobs_by_generation": keys.jobs_by_generation,
        "active": keys.active,
    }


def result_arguments(keys: Keys, job: Job, update: ResultUpdate) -> ResultArguments:
    """Return the arguments for a write to Celery's result backend; without a text there is none."""
    return {"result": update.key or keys.job(job.id), "result_ttl": update.ttl, "result_text": update.text}


def batch_arguments(keys: Keys, batch: Batch | None) -> BatchArguments:
    """Return the arguments for the batch of an item; without one, the key is not used."""
    if batch is None:
        return {"batch": keys.batch(""), "batch_id": "", "batch_total": 0}
    return {"batch": keys.batch(batch.id), "batch_id": batch.id, "batch_total": batch.total}


def batch_end_arguments(keys: Keys, batch: Batch | None) -> BatchEndArguments:
    """Return the arguments that count a job as ended in its batches."""
    return {
        **batch_arguments(keys, batch),
        "batch_events": keys.batch_events(batch.id if batch else ""),
        "batch_pattern": keys.batch(ID),
        "batch_events_pattern": keys.batch_events(ID),
    }


def file_arguments(keys: Keys, job_id: str) -> FileArguments:
    """Return the arguments for the files of a job."""
    return {
        "files": keys.lane(Lane.FILES),
        "files_loop": keys.loop(Lane.FILES),
        "files_gap": MIN_TICK_GAP_S[Lane.FILES],
        "progress": keys.files(job_id),
    }


def duration_arguments(keys: Keys, job: Job, duration_s: float | None) -> DurationArguments:
    """Return the arguments for a duration in seconds, or for none."""
    return {
        "durations": keys.durations(duration_group(job)),
        "duration_bin": None if duration_s is None else bin_of(duration_s),
        "durations_ttl": RETENTION_S,
    }


def accepted_arguments(keys: Keys, job: Job) -> TotalsArguments:
    """Return the arguments that count an accepted job."""
    return {"totals": keys.totals, "counted": [total_name(JOBS_ACCEPTED, job.kind)]}


def ended_arguments(keys: Keys, job: Job, outcome: Outcome, *, created: bool) -> TotalsArguments:
    """Return the arguments that count an ended job; one that is `created` by its end is counted as accepted, too."""
    accepted = [total_name(JOBS_ACCEPTED, job.kind)] if created else []
    reason = Reason(outcome["reason"]).value if outcome["reason"] else NO_REASON
    return {"totals": keys.totals, "counted": [*accepted, total_name(JOBS_ENDED, job.kind, outcome["state"], reason)]}


def poll_fields(job: Job) -> dict[str, str]:
    """Return the fields of a record that polls change."""
    fields: dict[str, str | None] = {
        "polls": str(job.polls),
        "last_polled_at": f"{job.last_polled_at:.6f}" if job.last_polled_at else None,
        "photogpt_status": job.photogpt_status,
        "photogpt_status_since": f"{job.photogpt_status_since:.6f}" if job.photogpt_status_since else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
