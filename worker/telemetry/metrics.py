"""Every metric of the service: one closed table. `ops/docs/metrics.md` is generated from it.

Label values come from enumerations of the service, so the number of series never grows with jobs, tenants, models or
URLs. No label names a worker: Prometheus adds `instance`.

Three sources:

- totals: counted in Redis by the scripts that write the truth; exact over restarts, kills and duplicate messages. The
  exporter (`photogpt-worker metrics`) serves them.
- fleet: state in Redis and in the broker, read once a scrape. The exporter serves it.
- worker: what one worker process did and measured. Each worker serves its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from worker.domain.job import TERMINAL, Kind
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.telemetry.labels import (
    ApiOutcome,
    EndpointState,
    FileOutcome,
    LoopPart,
    Operation,
    PoolState,
    QueueName,
    WebhookEnd,
    WebhookOutcome,
)
from worker.telemetry.logs import EventName
from worker.telemetry.metric import Metric, MetricType, Source

PREFIX = "photogpt_"

NO_REASON = "none"
"""The label value `reason` of a job that succeeded."""


METRICS: list[Metric] = []
"""The table: every metric below, in this order."""


def _metric(
    name: str,
    type_: MetricType,
    source: Source,
    text: str,
    /,
    *,
    buckets: tuple[float, ...] = (),
    **labels: Iterable[str],
) -> Metric:
    values = {label: tuple(str(value) for value in given) for label, given in labels.items()}
    made = Metric(name=PREFIX + name, type=type_, source=source, help=text, labels=values, buckets=buckets)
    METRICS.append(made)
    return made


_C, _G, _H = MetricType.COUNTER, MetricType.GAUGE, MetricType.HISTOGRAM
_ENDS = sorted(TERMINAL)
_REASONS = (NO_REASON, *Reason)
_CALL_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_TRANSFER_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
_LATENESS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_JOB_S = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1800.0, 3600.0)

# -- totals: counted in Redis -------------------------------------------------------------------------------------

JOBS_ACCEPTED = _metric(
    "jobs_accepted_total", _C, Source.TOTALS, "Jobs stored, those included that are refused at once.", kind=Kind
)
JOBS_ENDED = _metric(
    "jobs_ended_total",
    _C,
    Source.TOTALS,
    "Jobs that ended, each once. `reason` is none for a job that succeeded.",
    kind=Kind,
    state=_ENDS,
    reason=_REASONS,
)
WEBHOOKS_ENDED = _metric(
    "webhooks_ended_total",
    _C,
    Source.TOTALS,
    "Webhooks that ended: delivered, or dead. A dead one that is delivered later counts in both.",
    state=WebhookEnd,
)

# -- fleet: read from Redis and the broker at each scrape ---------------------------------------------------------

REDIS_UP = _metric(
    "redis_up", _G, Source.FLEET, "1 if Redis answered this scrape; else 0, and the other fleet metrics are absent."
)
DATA_LOST = _metric(
    "redis_data_lost_timestamp_seconds",
    _G,
    Source.FLEET,
    "When a worker last noticed that Redis had lost data, Unix time of Redis; 0 if never.",
)
WORKERS = _metric("workers", _G, Source.FLEET, "Worker processes whose lane monitor has run within the last 15 s.")
LANE_MEMBERS = _metric("lane_members", _G, Source.FLEET, "Members of a lane: due, claimed and future ones.", lane=Lane)
LANE_DUE = _metric("lane_due", _G, Source.FLEET, "Members of a lane that are due and not claimed.", lane=Lane)
LANE_WORKABLE = _metric(
    "lane_workable",
    _G,
    Source.FLEET,
    "Due members that a further worker could run now: 0 while the lane is paused, at most the tokens of the rate.",
    lane=Lane,
)
LANE_OVERDUE = _metric(
    "lane_oldest_overdue_seconds",
    _G,
    Source.FLEET,
    "How long the oldest due member of a lane has waited for a claim, seconds; 0 while none is due.",
    lane=Lane,
)
LANE_LAST_TICK = _metric(
    "lane_last_tick_timestamp_seconds",
    _G,
    Source.FLEET,
    "When a worker last claimed from a lane, Unix time of Redis; 0 if never.",
    lane=Lane,
)
LANE_PAUSED = _metric(
    "lane_paused", _G, Source.FLEET, "1 while a lane is paused: PhotoGPT rejects the key or asks to wait.", lane=Lane
)
JOBS_IN_FLIGHT = _metric(
    "jobs_in_flight", _G, Source.FLEET, "Generations and trainings that PhotoGPT has accepted and that are polled."
)
JOBS_ACTIVE = _metric(
    "jobs_active",
    _G,
    Source.FLEET,
    "Generations that count against the limit of active ones: in flight, and admitted to their trigger.",
)
INBOX_ENTRIES = _metric(
    "inbox_entries", _G, Source.FLEET, "Jobs that producers have appended to the inbox and no worker has accepted yet."
)
INBOX_OLDEST = _metric(
    "inbox_oldest_seconds",
    _G,
    Source.FLEET,
    "How long the oldest entry of the inbox has waited for a worker, seconds; 0 without one.",
)
JOBS_QUEUED = _metric("jobs_queued", _G, Source.FLEET, "Jobs that wait for admission.")
JOBS_SCHEDULED = _metric(
    "jobs_scheduled", _G, Source.FLEET, "Jobs whose trigger is due later: not_before, retries, duplicates."
)
TRIGGERS_UNRESOLVED = _metric(
    "triggers_unresolved",
    _G,
    Source.FLEET,
    "Triggers without a known answer for longer than a call may last: they may have been paid for.",
)
UNRESOLVED_OLDEST = _metric(
    "unresolved_oldest_seconds",
    _G,
    Source.FLEET,
    "How long the oldest unresolved trigger has been without an answer, seconds; 0 without one.",
)
MESSAGES_REJECTED = _metric(
    "messages_rejected",
    _G,
    Source.FLEET,
    "Messages that could not be used, since the last month without one. `photogpt-worker rejected` lists them.",
)
BROKER_UP = _metric("broker_up", _G, Source.FLEET, "1 if the broker answered this scrape, else 0.")
BROKER_MESSAGES = _metric(
    "broker_messages", _G, Source.FLEET, "Messages in the broker that no worker has taken.", queue=QueueName
)
BROKER_UNACKED = _metric(
    "broker_unacked",
    _G,
    Source.FLEET,
    "Messages that workers have taken and not acknowledged. Absent with RabbitMQ, which counts them itself.",
)
WEBHOOKS_PENDING = _metric(
    "webhooks_pending", _G, Source.FLEET, "Webhooks that wait for an attempt, the first or a later one."
)
WEBHOOKS_DEAD = _metric(
    "webhooks_dead", _G, Source.FLEET, "Dead letters that are kept: `photogpt-worker webhooks list --state dead`."
)
ENDPOINTS = _metric(
    "endpoints",
    _G,
    Source.FLEET,
    "Webhook endpoints by health; of the 1,000 with the newest attempts, read once a minute.",
    state=EndpointState,
)

# -- worker: one process ------------------------------------------------------------------------------------------

BUILD_INFO = _metric(
    "build_info", _G, Source.WORKER, "1; the label names the version of photogpt-worker.", version=("",)
)
READY = _metric("worker_ready", _G, Source.WORKER, "1 while /ready answers 200, else 0.")
LOOP_AGE = _metric(
    "loop_age_seconds", _G, Source.WORKER, "Seconds since a loop of this process last went round.", part=LoopPart
)
API_REQUESTS = _metric(
    "api_requests_total",
    _C,
    Source.WORKER,
    "Requests to PhotoGPT, by what became of them.",
    operation=Operation,
    outcome=ApiOutcome,
)
API_DURATION = _metric(
    "api_request_duration_seconds",
    _H,
    Source.WORKER,
    "Duration of a request to PhotoGPT, seconds, whatever became of it.",
    buckets=_CALL_S,
    operation=Operation,
)
KEY_REJECTED = _metric(
    "api_key_rejected",
    _G,
    Source.WORKER,
    "1 if PhotoGPT rejected the API key in the last request of this process, else 0.",
)
LANE_LATENESS = _metric(
    "lane_lateness_seconds",
    _H,
    Source.WORKER,
    "How late a claim was: seconds from the due time of its first member; one observation a claim.",
    buckets=_LATENESS_S,
    lane=Lane,
)
POOL_THREADS = _metric(
    "lane_pool_threads", _G, Source.WORKER, "Thread slots of a lane in this process.", lane=Lane, state=PoolState
)
JOB_WAIT = _metric(
    "job_wait_seconds",
    _H,
    Source.WORKER,
    "Seconds from a job's acceptance until PhotoGPT accepted it, not_before included.",
    buckets=_JOB_S,
    kind=Kind,
)
JOB_DURATION = _metric(
    "job_duration_seconds",
    _H,
    Source.WORKER,
    "Seconds from a job's acceptance to its end.",
    buckets=_JOB_S,
    kind=Kind,
)
NOTICE_DELAY = _metric(
    "notice_delay_seconds",
    _H,
    Source.WORKER,
    "Seconds from the end of a generation to the poll that showed it, where PhotoGPT states how long it took.",
    buckets=_LATENESS_S,
    kind=Kind,
)
POLLS = _metric(
    "polls_total", _C, Source.WORKER, "Polls of one job, by whether the job had ended.", kind=Kind, ended=("yes", "no")
)
LIST_PAGES = _metric("list_poll_pages_total", _C, Source.WORKER, "Pages of PhotoGPT's list of jobs that were read.")
WEBHOOK_ATTEMPTS = _metric(
    "webhook_attempts_total", _C, Source.WORKER, "Attempts at a webhook, by how they ended.", outcome=WebhookOutcome
)
WEBHOOK_DURATION = _metric(
    "webhook_attempt_duration_seconds",
    _H,
    Source.WORKER,
    "Duration of an attempt at a webhook that was sent, seconds.",
    buckets=_CALL_S,
)
FILE_TRANSFERS = _metric(
    "file_transfers_total",
    _C,
    Source.WORKER,
    "Transfers of a file from PhotoGPT to the storage of PHOTOGPT_OUTPUTS, by how they ended.",
    outcome=FileOutcome,
)
FILE_BYTES = _metric("file_stored_bytes_total", _C, Source.WORKER, "Bytes of the files that were stored.")
FILE_DURATION = _metric(
    "file_transfer_duration_seconds",
    _H,
    Source.WORKER,
    "Duration of the transfer of a file, seconds, whatever became of it.",
    buckets=_TRANSFER_S,
)
LOG_EVENTS = _metric("log_events_total", _C, Source.WORKER, "Lines in the log, by event.", event=get_args(EventName))

SAMPLE_NAMES = frozenset(name for metric in METRICS for name in metric.sample_names)
"""Every name that a query about this service may use, but for the client library's `process_…` and `python_…`."""
