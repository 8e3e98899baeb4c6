"""Every key in Redis, in the default namespace: PHOTOGPT_NAMESPACE replaces `photogpt`.

Braces are literal: a hash tag, so that the keys of one job share a slot.

| key | type | expires | meaning |
| --- | --- | --- | --- |
| `photogpt:job:{<id>}` | hash | deadline + retention; retention once it has ended | the record of a job |
| `photogpt:job:{<id>}:events` | stream | with the record | the events of a job; the last one carries the outcome |
| `photogpt:job:{<id>}:duplicates` | set | with the record | later jobs with the same idempotency key |
| `photogpt:job:{<id>}:files` | hash | with the record | which files of a job are stored, and how far the others are |
| `photogpt:job:{<id>}:deliveries` | set | with its webhooks | ids of the job's webhooks |
| `photogpt:idempotency:{<key>}` | hash | idempotency TTL | the job of an idempotency key, and the digest of its body |
| `photogpt:events` | stream | never; trimmed by length | the events of all jobs |
| `photogpt:event_draft` | stream | with the script that makes it | the first event of a job, before it is copied |
| `photogpt:lane:{<lane>}` | sorted set | never; a member leaves when it is done | ids by due time |
| `photogpt:lane:{<lane>}:loop` | hash | never; one per lane | tokens and times of the next ticks, pause, cap |
| `photogpt:intents` | sorted set | never; a member leaves with answer or end | jobs with an open intent, by its time |
| `photogpt:ended_intents` | sorted set | never; trimmed by age | jobs that ended with an open intent, by its time |
| `photogpt:inbox` | stream | never; an entry leaves when its job is stored | jobs that no worker has accepted yet |
| `photogpt:batch:{<id>}` | hash | with the last record of its jobs | how many items of a batch have ended, and how |
| `photogpt:batch:{<id>}:events` | stream | with the batch | one event, when all items of the batch have ended |
| `photogpt:queue` | sorted set | never; a member leaves when it is admitted | jobs that wait for admission |
| `photogpt:tenants` | sorted set | never; a member leaves when it is passed | where the queue of each tenant ends |
| `photogpt:active` | sorted set | never; a member leaves with the answer | admitted jobs without a generation |
| `photogpt:rate` | hash | a minute | the token bucket of the request rate |
| `photogpt:totals` | hash | never; one, of bounded size | numbers of accepted and ended jobs and webhooks |
| `photogpt:workers` | sorted set | an hour after the last one | worker processes, by their last sign of life |
| `photogpt:data` | hash | never; one, whose absence shows that Redis lost its data | a marker, and the last loss |
| `photogpt:account` | hash | never; one | URL and keyed hash of the API key that pays for these jobs |
| `photogpt:probe` | string | a minute | written to see whether Redis accepts writes again |
| `photogpt:neighbor_check` | string | minutes | a worker has checked the other apps on the broker |
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

A script that finds an id in Redis makes the key from a pattern, `Keys.job(ID)` for instance, with the id for `<id>`. So
lanes and records must live on one server: plain Redis or Sentinel, as Celery's own transport demands. An id of a
producer stands in braces behind a noun, so it can collide with no other key.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.lane import Lane

ID = "<id>"
"""Stands for an id in the pattern of a key; no namespace contains it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace."""

    namespace: str = "photogpt"

    @property
    def all_events(self) -> str:
        """The stream of the events of all jobs."""
        return f"{self.namespace}:events"

    @property
    def event_draft(self) -> str:
        """The first event of a job, until the script that appends it has copied it."""
        return f"{self.namespace}:event_draft"

    @property
    def intents(self) -> str:
        """Jobs with an open intent."""
        return f"{self.namespace}:intents"

    @property
    def ended_intents(self) -> str:
        """Jobs that ended with an open intent: no other job may adopt what it created."""
        return f"{self.namespace}:ended_intents"

    @property
    def generations(self) -> str:
        """Generations and models of our jobs."""
        return f"{self.namespace}:generations"

    @property
    def inbox(self) -> str:
        """What producers append and no worker has accepted yet."""
        return f"{self.namespace}:inbox"

    @property
    def queue(self) -> str:
        """Jobs that wait for admission."""
        return f"{self.namespace}:queue"

    @property
    def tenants(self) -> str:
        """Where the queue of each tenant ends."""
        return f"{self.namespace}:tenants"

    @property
    def active(self) -> str:
        """Admitted jobs without a generation."""
        return f"{self.namespace}:active"

    @property
    def rate(self) -> str:
        """The token bucket of the request rate."""
        return f"{self.namespace}:rate"

    @property
    def totals(self) -> str:
        """Numbers of accepted and ended jobs and webhooks."""
        return f"{self.namespace}:totals"

    @property
    def workers(self) -> str:
        """Worker processes, by their last sign of life."""
        return f"{self.namespace}:workers"

    @property
    def data(self) -> str:
        """The marker by which workers notice that Redis has lost data, and the last loss."""
        return f"{self.namespace}:data"

    @property
    def account(self) -> str:
        """The account that pays for the jobs."""
        return f"{self.namespace}:account"

    @property
    def neighbor_check(self) -> str:
        """Written by the worker that checks the other apps on the broker."""
        return f"{self.namespace}:neighbor_check"

    @property
    def rejected(self) -> str:
        """The last messages that could not be used."""
        return f"{self.namespace}:rejected"

    @property
    def rejected_count(self) -> str:
        """How many messages could not be used."""
        return f"{self.namespace}:rejected_count"

    @property
    def probe(self) -> str:
        """Written to see whether Redis accepts writes."""
        return f"{self.namespace}:probe"

    @property
    def jobs_by_generation(self) -> str:
        """The job of each generation in flight."""
        return f"{self.namespace}:jobs_by_generation"

    @property
    def recently_ended(self) -> str:
        """Generations whose end a single poll showed."""
        return f"{self.namespace}:recently_ended"

    @property
    def endpoints(self) -> str:
        """Endpoints, by last attempt."""
        return f"{self.namespace}:endpoints"

    @property
    def delivered(self) -> str:
        """Accepted webhooks, by time."""
        return f"{self.namespace}:webhooks:delivered"

    @property
    def dead(self) -> str:
        """Dead letters, by time."""
        return f"{self.namespace}:webhooks:dead"

    def job(self, job_id: str) -> str:
        """Return the key of a job's record."""
        return f"{self.namespace}:job:{{{job_id}}}"

    def events(self, job_id: str) -> str:
        """Return the key of a job's event stream."""
        return f"{self.namespace}:job:{{{job_id}}}:events"

    def duplicates(self, job_id: str) -> str:
        """Return the key of the set of a job's duplicates."""
        return f"{self.namespace}:job:{{{job_id}}}:duplicates"

    def files(self, job_id: str) -> str:
        """Return the key of the progress of a job's files."""
        return f"{self.namespace}:job:{{{job_id}}}:files"

    def deliveries(self, job_id: str) -> str:
        """Return the key of the set of a job's webhooks."""
        return f"{self.namespace}:job:{{{job_id}}}:deliveries"

    def batch(self, batch_id: str) -> str:
        """Return the key of a batch."""
        return f"{self.namespace}:batch:{{{batch_id}}}"

    def batch_events(self, batch_id: str) -> str:
        """Return the key of a batch's event stream."""
        return f"{self.namespace}:batch:{{{batch_id}}}:events"

    def delivery(self, delivery_id: str) -> str:
        """Return the key of a webhook's record."""
        return f"{self.namespace}:delivery:{{{delivery_id}}}"

    def endpoint(self, endpoint_id: str) -> str:
        """Return the key of an endpoint's record."""
        return f"{self.namespace}:endpoint:{{{endpoint_id}}}"

    def in_flight(self, endpoint_id: str) -> str:
        """Return the key of the webhooks that are being sent to an endpoint."""
        return f"{self.namespace}:endpoint:{{{endpoint_id}}}:in_flight"

    def endpoint_deliveries(self, endpoint_id: str) -> str:
        """Return the key of the list of an endpoint's webhooks."""
        return f"{self.namespace}:endpoint:{{{endpoint_id}}}:deliveries"

    def idempotency(self, key: str) -> str:
        """Return the key that stores which job an idempotency key belongs to."""
        return f"{self.namespace}:idempotency:{{{key}}}"

    def durations(self, duration_group: str) -> str:
        """Return the key of the durations of a group of generations."""
        return f"{self.namespace}:durations:{{{duration_group}}}"

    def list_poll(self, lane: str) -> str:
        """Return the key of the state of the list poll for a lane."""
        return f"{self.namespace}:list_poll:{{{lane}}}"

    def lane(self, name: Lane) -> str:
        """Return the key of a lane."""
        return f"{self.namespace}:lane:{{{name.value}}}"

    def loop(self, name: Lane) -> str:
        """Return the key of a lane's loop."""
        return f"{self.namespace}:lane:{{{name.value}}}:loop"
