"""Every key in Redis. Braces are literal: a hash tag, so that the keys of one job share a slot.

| key | type | expires | meaning |
| --- | --- | --- | --- |
| `photogpt:job:{<id>}` | hash | deadline + retention; retention once it has ended | the record of a job |
| `photogpt:job:{<id>}:events` | stream | with the record | the events of a job; the last one carries the outcome |
| `photogpt:job:{<id>}:duplicates` | set | with the record | later jobs with the same idempotency key |
| `photogpt:job:{<id>}:deliveries` | set | with its webhooks | ids of the job's webhooks |
| `photogpt:idempotency:{<key>}` | hash | idempotency TTL | the job of an idempotency key, and the digest of its body |
| `photogpt:events` | stream | never; trimmed by length | the events of all jobs |
| `photogpt:lane:{<lane>}` | sorted set | never; a member leaves when it is done | ids by due time |
| `photogpt:lane:{<lane>}:loop` | hash | never; one per lane | token and time of the next tick, pause, cap |
| `photogpt:intents` | sorted set | never; a member leaves with the answer | jobs with an open intent, by its time |
| `photogpt:queue` | sorted set | never; a member leaves when it is admitted | jobs that wait for admission |
| `photogpt:tenants` | sorted set | never; a member leaves when it is passed | where the queue of each tenant ends |
| `photogpt:active` | sorted set | never; a member leaves with the answer | admitted jobs without a generation |
| `photogpt:rate` | hash | a minute | the token bucket of the request rate |
| `photogpt:probe` | string | a minute | written to see whether Redis accepts writes again |
| `photogpt:rejected` | list | a month after the last one | the last messages that could not be used |
| `photogpt:rejected_count` | string | a month after the last one | how many messages could not be used |
| `photogpt:generations` | sorted set | never; trimmed by age | generations and models of our jobs, by time |
| `photogpt:jobs_by_generation` | hash | never; a field leaves when its job ends | job of each generation in flight |
| `photogpt:recently_ended` | sorted set | never; trimmed by age | generations whose end a single poll showed |
| `photogpt:durations:{<group>}` | hash | a month after the last one | how long generations took: a weight by bin |
| `photogpt:list_poll:{<lane>}` | hash | never; one | what is known of PhotoGPT's list of jobs |
| `photogpt:delivery:{<id>}` | hash | webhook schedule + retention | one webhook with its attempts |
| `photogpt:endpoint:{<id>}` | hash | a day after an attempt; a month while it fails | the health of an endpoint |
| `photogpt:endpoint:{<id>}:in_flight` | sorted set | with its last lease | webhooks being sent, by lease end |
| `photogpt:endpoint:{<id>}:deliveries` | sorted set | with its webhooks; trimmed | ids of its webhooks, by time |
| `photogpt:endpoints` | sorted set | never; trimmed by age | endpoints, by last attempt |
| `photogpt:webhooks:delivered` | sorted set | never; trimmed by number and age | accepted webhooks, by time |
| `photogpt:webhooks:dead` | sorted set | never; trimmed by number and age | dead letters, by time |

The scripts build the names of claimed records themselves, so lanes and records must live on one server: plain Redis or
Sentinel, as Celery's own transport demands. An id of a producer stands in braces behind a noun, so it can collide with
no other key.
"""

from __future__ import annotations

from enum import StrEnum

JOB = "photogpt:job:{"
DELIVERY = "photogpt:delivery:{"
ENDPOINT = "photogpt:endpoint:{"
LIST_POLL = "photogpt:list_poll:{"
EVENTS = "photogpt:events"
INTENTS = "photogpt:intents"
GENERATIONS = "photogpt:generations"
QUEUE = "photogpt:queue"
TENANTS = "photogpt:tenants"
ACTIVE = "photogpt:active"
RATE = "photogpt:rate"
PROBE = "photogpt:probe"
REJECTED = "photogpt:rejected"
REJECTED_COUNT = "photogpt:rejected_count"
JOBS_BY_GENERATION = "photogpt:jobs_by_generation"
RECENTLY_ENDED = "photogpt:recently_ended"
ENDPOINTS = "photogpt:endpoints"
DELIVERED = "photogpt:webhooks:delivered"
DEAD = "photogpt:webhooks:dead"


class Lane(StrEnum):
    """A sorted set of ids by due time, with a loop of its own, so that no lane delays another."""

    TRIGGERS = "triggers"  # jobs to trigger
    JOBS = "jobs"  # generations to poll
    MODELS = "models"  # models in training to poll
    LIST_POLLS = "list_polls"  # the list poll
    RESULTS = "results"  # ended jobs whose Celery result is not stored yet
    DELIVERIES = "deliveries"  # webhooks without an attempt
    REDELIVERIES = "redeliveries"  # webhooks to retry: a dead endpoint delays no first attempt


def job(job_id: str) -> str:
    """Return the key of a job's record."""
    return f"{JOB}{job_id}}}"


def events(job_id: str) -> str:
    """Return the key of a job's event stream."""
    return f"{JOB}{job_id}}}:events"


def duplicates(job_id: str) -> str:
    """Return the key of the set of a job's duplicates."""
    return f"{JOB}{job_id}}}:duplicates"


def deliveries(job_id: str) -> str:
    """Return the key of the set of a job's webhooks."""
    return f"{JOB}{job_id}}}:deliveries"


def delivery(delivery_id: str) -> str:
    """Return the key of a webhook's record."""
    return f"{DELIVERY}{delivery_id}}}"


def endpoint(endpoint_id: str) -> str:
    """Return the key of an endpoint's record."""
    return f"{ENDPOINT}{endpoint_id}}}"


def in_flight(endpoint_id: str) -> str:
    """Return the key of the webhooks that are being sent to an endpoint."""
    return f"{ENDPOINT}{endpoint_id}}}:in_flight"


def endpoint_deliveries(endpoint_id: str) -> str:
    """Return the key of the list of an endpoint's webhooks."""
    return f"{ENDPOINT}{endpoint_id}}}:deliveries"


def idempotency(key: str) -> str:
    """Return the key that stores which job an idempotency key belongs to."""
    return f"photogpt:idempotency:{{{key}}}"


def durations(duration_group: str) -> str:
    """Return the key of the durations of a group of generations."""
    return f"photogpt:durations:{{{duration_group}}}"


def list_poll(lane: str) -> str:
    """Return the key of the state of the list poll for a lane."""
    return f"{LIST_POLL}{lane}}}"


def lane(name: Lane) -> str:
    """Return the key of a lane."""
    return f"photogpt:lane:{{{name.value}}}"


def loop(name: Lane) -> str:
    """Return the key of a lane's loop."""
    return f"photogpt:lane:{{{name.value}}}:loop"
