"""Every key there is. Braces are literal: a hash tag, so that what belongs to one job shares a slot.

| key | type | ends | meaning |
| --- | --- | --- | --- |
| `photogpt:job:{<id>}` | hash | deadline + retention; from the end on, retention | the record of a job |
| `photogpt:job:{<id>}:events` | stream | with the record | what happened to it; the last entry carries the outcome |
| `photogpt:job:{<id>}:duplicates` | set | with the record | jobs with the same idempotency key |
| `photogpt:job:{<id>}:deliveries` | set | with its webhooks | its webhooks |
| `photogpt:idempotency:{<key>}` | hash | idempotency TTL | which job this key became, and the digest of its body |
| `photogpt:events` | stream | never; trimmed by length | what happened to every job |
| `photogpt:lane:{<lane>}` | sorted set | never; a member leaves when it is done | ids to be looked after, by due time |
| `photogpt:lane:{<lane>}:loop` | hash | never; one per lane | the token of the next tick, and when it is due |
| `photogpt:intents` | sorted set | never; a member leaves with the answer | jobs in doubt, by intent time |
| `photogpt:queue` | sorted set | never; a member leaves when it may be triggered | jobs waiting for room |
| `photogpt:tenants` | sorted set | never; a member leaves when it is passed | where each tenant's queue ends |
| `photogpt:active` | sorted set | never; a member leaves with the answer | jobs that have room, not yet under way |
| `photogpt:rate` | hash | a minute | requests that may be sent at once, over all workers |
| `photogpt:probe` | string | a minute | that Redis takes writes again, after it did not |
| `photogpt:generations` | sorted set | never; trimmed by age | generations known to be ours |
| `photogpt:jobs_by_generation` | hash | never; a field leaves when its job ends | which job a generation under way belongs to |
| `photogpt:ended` | sorted set | never; trimmed by age | generations whose end a look of their own showed lately |
| `photogpt:durations:{<family>}` | hash | a month after the last one | how long generations took: a weight by bin |
| `photogpt:list_poll:{<lane>}` | hash | never; one | what was learned of PhotoGPT's list of jobs |
| `photogpt:delivery:{<id>}` | hash | webhook schedule + retention | one webhook, with its attempts |
| `photogpt:endpoint:{<id>}` | hash | a day after the last attempt; a month while it fails | how an endpoint is |
| `photogpt:endpoint:{<id>}:in_flight` | sorted set | with its last lease | webhooks under way, by lease end |
| `photogpt:endpoint:{<id>}:deliveries` | sorted set | with its webhooks; trimmed by number | its webhooks, by time |
| `photogpt:endpoints` | sorted set | never; trimmed by age | endpoints, by last attempt |
| `photogpt:webhooks:delivered` | sorted set | never; trimmed by number and age | webhooks that were taken, by time |
| `photogpt:webhooks:dead` | sorted set | never; trimmed by number and age | webhooks that were given up, by time |

The scripts reach the records of claimed jobs by name, so lanes and records must live on one server: plain Redis or
Sentinel, as Celery's own transport demands. Foreign ids stand in braces under a noun of their own and can collide with
nothing else.
"""

from __future__ import annotations

from enum import StrEnum

JOB = "photogpt:job:{"
DELIVERY = "photogpt:delivery:{"
ENDPOINT = "photogpt:endpoint:{"
EVENTS = "photogpt:events"
INTENTS = "photogpt:intents"
GENERATIONS = "photogpt:generations"
QUEUE = "photogpt:queue"
TENANTS = "photogpt:tenants"
ACTIVE = "photogpt:active"
RATE = "photogpt:rate"
JOBS_BY_GENERATION = "photogpt:jobs_by_generation"
ENDED = "photogpt:ended"
LIST_POLL = "photogpt:list_poll:{"
ENDPOINTS = "photogpt:endpoints"
DELIVERED = "photogpt:webhooks:delivered"
DEAD = "photogpt:webhooks:dead"
PROBE = "photogpt:probe"


class Lane(StrEnum):
    """Where ids wait, each with a loop of its own, so that none can hold up another."""

    TRIGGERS = "triggers"  # jobs that PhotoGPT must be asked to start
    JOBS = "jobs"  # generations to look at
    MODELS = "models"  # models in training to look at
    LIST_POLLS = "list_polls"  # the one that reads the list of jobs, where that is cheaper than single looks
    RESULTS = "results"  # ended jobs whose Celery result is not stored yet
    DELIVERIES = "deliveries"  # webhooks not tried yet
    REDELIVERIES = "redeliveries"  # webhooks tried in vain: a dead receiver delays no living one


def job(job_id: str) -> str:
    """Name the record of a job."""
    return f"{JOB}{job_id}}}"


def events(job_id: str) -> str:
    """Name the event stream of a job."""
    return f"{JOB}{job_id}}}:events"


def duplicates(job_id: str) -> str:
    """Name the set of jobs that share this one's generation."""
    return f"{JOB}{job_id}}}:duplicates"


def deliveries(job_id: str) -> str:
    """Name the set of a job's webhooks."""
    return f"{JOB}{job_id}}}:deliveries"


def delivery(delivery_id: str) -> str:
    """Name the record of a webhook."""
    return f"{DELIVERY}{delivery_id}}}"


def endpoint(endpoint_id: str) -> str:
    """Name the record of an endpoint."""
    return f"{ENDPOINT}{endpoint_id}}}"


def in_flight(endpoint_id: str) -> str:
    """Name the set of webhooks that are under way to an endpoint."""
    return f"{ENDPOINT}{endpoint_id}}}:in_flight"


def endpoint_deliveries(endpoint_id: str) -> str:
    """Name the set of an endpoint's webhooks."""
    return f"{ENDPOINT}{endpoint_id}}}:deliveries"


def idempotency(key: str) -> str:
    """Name what an idempotency key became."""
    return f"photogpt:idempotency:{{{key}}}"


def durations(duration_group: str) -> str:
    """Name the durations of generations that take alike."""
    return f"photogpt:durations:{{{duration_group}}}"


def list_poll(lane: str) -> str:
    """Name what is known of the list that shows a lane's members."""
    return f"{LIST_POLL}{lane}}}"


def lane(name: Lane) -> str:
    """Name the sorted set of a lane."""
    return f"photogpt:lane:{{{name.value}}}"


def loop(name: Lane) -> str:
    """Name the loop of a lane."""
    return f"photogpt:lane:{{{name.value}}}:loop"
