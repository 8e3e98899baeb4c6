"""The script arguments that every change of a job's state needs: its event and its webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from worker.domain.delivery import event_type, plan
from worker.domain.job import SEQUENCE, Job, JobState
from worker.domain.times import epoch
from worker.store import keys
from worker.store.keys import Lane
from worker.store.lanes import MIN_TICK_GAP_S

if TYPE_CHECKING:
    from worker.domain.delivery import Bodies
    from worker.domain.outcome import Outcome


class EventArguments(TypedDict):
    """The job, and the event that is appended to its stream and to that of all jobs."""

    job: str
    events: str
    all_events: str
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


def event_arguments(job: Job, state: JobState, *, timestamp: str, stream_length: int) -> EventArguments:
    """Return the arguments for the event that a job has entered a state."""
    return {
        "job": keys.job(job.id),
        "events": keys.events(job.id),
        "all_events": keys.EVENTS,
        "id": job.id,
        "event_type": event_type(job, state),
        "sequence": SEQUENCE[state],
        "timestamp": timestamp,
        "stream_length": stream_length,
    }


def webhook_arguments(
    job: Job, state: JobState, outcome: Outcome, *, timestamp: str, bodies: Bodies
) -> WebhookArguments:
    """Return the arguments for the webhooks of that event."""
    planned = plan(job, state, outcome, at=epoch(timestamp), bodies=bodies)
    return {
        "job_deliveries": keys.deliveries(job.id),
        "deliveries": keys.lane(Lane.DELIVERIES),
        "deliveries_loop": keys.loop(Lane.DELIVERIES),
        "delivery_records": [keys.delivery(delivery.id) for delivery in planned],
        "deliveries_gap": MIN_TICK_GAP_S[Lane.DELIVERIES],
        "webhooks": [text for each in planned for text in (each.id, each.type, each.url, each.body)],
    }
