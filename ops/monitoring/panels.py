"""What the dashboard shows: rows of panels with their queries. Every metric is in `worker/telemetry/metrics.py`.

Totals and fleet state come from the exporter. `max by (…)` counts them once where several exporters run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    #: PromQL; `$__rate_interval` stands for Grafana's choice of a range.
    expr: str
    #: Name of each curve, with labels in double braces.
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram over time."""

    title: str
    #: What it shows, and when to act.
    description: str
    #: A unit of Grafana: `short`, `s`, `percentunit`, `ops`.
    unit: str
    queries: tuple[Query, ...]
    #: Whether curves are stacked.
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with its panels, three abreast."""

    title: str
    panels: tuple[Panel, ...]


def quantile(metric: str, label: str, fraction: float = 0.95) -> str:
    """Return the query of a quantile of a histogram, by one label."""
    return f"histogram_quantile({fraction}, sum by (le, {label}) (rate({metric}_bucket[$__rate_interval])))"


def total_rate(metric: str, labels: str, where: str = "") -> str:
    """Return the query of a total's rate per minute, by some labels."""
    selected = f"{metric}{{{where}}}" if where else metric
    return f"60 * sum by ({labels}) (max without (instance, pod) (rate({selected}[$__rate_interval])))"


def fleet(metric: str, labels: str) -> str:
    """Return the query of a value of the fleet, by some labels."""
    return f"max by ({labels}) ({metric})"


JOBS = Row(
    "Jobs",
    (
        Panel(
            "Accepted and ended, per minute",
            "Jobs that were stored, and jobs that ended. A lasting gap means that jobs pile up.",
            "short",
            (
                Query(total_rate("photogpt_jobs_accepted_total", "kind"), "accepted {{kind}}"),
                Query(total_rate("photogpt_jobs_ended_total", "kind"), "ended {{kind}}"),
            ),
        ),
        Panel(
            "How jobs end, per minute",
            "Ended jobs by state and reason.",
            "short",
            (Query(total_rate("photogpt_jobs_ended_total", "state, reason"), "{{state}} {{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Jobs now",
            "In flight: accepted by PhotoGPT. Waiting: for a free place (PHOTOGPT_MAX_ACTIVE or learned from 429). "
            "Scheduled: the trigger is due later. Unresolved: the answer to a trigger was lost.",
            "short",
            (
                Query("max(photogpt_jobs_in_flight)", "in flight"),
                Query("max(photogpt_jobs_queued)", "waiting for a place"),
                Query("max(photogpt_jobs_scheduled)", "scheduled"),
                Query("max(photogpt_triggers_unresolved)", "unresolved"),
            ),
        ),
        Panel(
            "Duration of a job, 95 %",
            "From acceptance to the end, waiting included.",
            "s",
            (Query(quantile("photogpt_job_duration_seconds", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Wait before the trigger, 95 %",
            "From acceptance until PhotoGPT accepted the job.",
            "s",
            (Query(quantile("photogpt_job_wait_seconds", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Noticing delay, 95 %",
            "From the end of a generation to the poll that showed it.",
            "s",
            (Query(quantile("photogpt_notice_delay_seconds", "kind"), "{{kind}}"),),
        ),
    ),
)

LANES = Row(
    "Lanes",
    (
        Panel(
            "Oldest overdue item",
            "How long the oldest due item of a lane has waited. Alerts fire above 60 s.",
            "s",
            (Query(fleet("photogpt_lane_oldest_overdue_seconds", "lane"), "{{lane}}"),),
        ),
        Panel(
            "Due and workable items",
            "Due: no worker has claimed them. Workable: 0 while the lane is paused or the request rate is spent.",
            "short",
            (
                Query(fleet("photogpt_lane_due", "lane"), "due {{lane}}"),
                Query(fleet("photogpt_lane_workable", "lane"), "workable {{lane}}"),
            ),
        ),
        Panel(
            "Items of a lane",
            "All items: due, claimed, and due in the future.",
            "short",
            (Query(fleet("photogpt_lane_members", "lane"), "{{lane}}"),),
        ),
        Panel(
            "Lateness of claims, 95 %",
            "From the time an item was due to its claim.",
            "s",
            (Query(quantile("photogpt_lane_lateness_seconds", "lane"), "{{lane}}"),),
        ),
        Panel(
            "Paused lanes",
            "1 while a lane is paused: PhotoGPT rejects the key, limits requests or does not answer.",
            "short",
            (Query(fleet("photogpt_lane_paused", "lane"), "{{lane}}"),),
        ),
        Panel(
            "Busy threads",
            "Calls in progress, of PHOTOGPT_CALL_CONCURRENCY for each lane and worker.",
            "short",
            (Query('sum by (lane) (photogpt_lane_pool_threads{state="busy"})', "{{lane}}"),),
        ),
    ),
)

PHOTOGPT = Row(
    "PhotoGPT's API",
    (
        Panel(
            "Requests",
            "Requests a second, by what became of them.",
            "reqps",
            (
                Query(
                    "sum by (operation, outcome) (rate(photogpt_api_requests_total[$__rate_interval]))",
                    "{{operation}} {{outcome}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Duration of a request, 95 %",
            "Whatever became of it.",
            "s",
            (Query(quantile("photogpt_api_request_duration_seconds", "operation"), "{{operation}}"),),
        ),
        Panel(
            "Polls and pages",
            "Polls of single jobs a second, and pages of the list of jobs.",
            "reqps",
            (
                Query("sum by (ended) (rate(photogpt_polls_total[$__rate_interval]))", "polls, ended: {{ended}}"),
                Query("sum(rate(photogpt_list_poll_pages_total[$__rate_interval]))", "pages of the list"),
            ),
        ),
    ),
)

WEBHOOKS = Row(
    "Webhooks",
    (
        Panel(
            "Attempts",
            "Attempts a second, by how they ended.",
            "ops",
            (
                Query(
                    "sum by (outcome) (rate(photogpt_webhook_attempts_total[$__rate_interval]))",
                    "{{outcome}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Waiting and dead",
            "Webhooks that wait for an attempt, and dead letters that are kept.",
            "short",
            (
                Query("max(photogpt_webhooks_pending)", "waiting"),
                Query("max(photogpt_webhooks_dead)", "dead letters"),
            ),
        ),
        Panel(
            "Endpoints",
            "Endpoints by health. `photogpt-worker webhooks endpoints` lists them.",
            "short",
            (Query(fleet("photogpt_endpoints", "state"), "{{state}}"),),
        ),
    ),
)

FILES = Row(
    "Files (PHOTOGPT_OUTPUTS)",
    (
        Panel(
            "Transfers",
            "Transfers of images and videos a second, by how they ended. None without PHOTOGPT_OUTPUTS.",
            "ops",
            (Query("sum by (outcome) (rate(photogpt_file_transfers_total[$__rate_interval]))", "{{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Bytes",
            "Bytes a second of the files that were stored.",
            "Bps",
            (Query("sum(rate(photogpt_file_stored_bytes_total[$__rate_interval]))", "stored"),),
        ),
        Panel(
            "Duration of a transfer, 95 %",
            "From the request to PhotoGPT until the storage has the file, whatever became of it.",
            "s",
            (
                Query(
                    "histogram_quantile(0.95, sum by (le) "
                    "(rate(photogpt_file_transfer_duration_seconds_bucket[$__rate_interval])))",
                    "all",
                ),
            ),
        ),
    ),
)

PROCESSES = Row(
    "Workers, Redis, broker",
    (
        Panel(
            "Workers and their loops",
            "Workers that run, and how long ago the slowest loop of each went round. Above 60 s a worker is stuck.",
            "short",
            (
                Query("max(photogpt_workers)", "workers"),
                Query("max by (instance) (photogpt_loop_age_seconds)", "loop age of {{instance}}, s"),
            ),
        ),
        Panel(
            "CPU and memory",
            "Processor time a second, and resident memory in GB, of each process.",
            "short",
            (
                Query(
                    'rate(process_cpu_seconds_total{job=~"photogpt-.*"}[$__rate_interval])',
                    "CPU of {{instance}}",
                ),
                Query('process_resident_memory_bytes{job=~"photogpt-.*"} / 1e9', "GB of {{instance}}"),
            ),
        ),
        Panel(
            "Redis and broker",
            "1 while they answer; 1 while PhotoGPT rejects the key; messages that no worker has taken.",
            "short",
            (
                Query("max(photogpt_redis_up)", "Redis"),
                Query("max(photogpt_broker_up)", "broker"),
                Query("max(photogpt_api_key_rejected)", "key rejected"),
                Query(fleet("photogpt_broker_messages", "queue"), "messages {{queue}}"),
                Query("max(photogpt_inbox_entries)", "inbox entries"),
            ),
        ),
    ),
)

ROWS = (JOBS, LANES, PHOTOGPT, WEBHOOKS, FILES, PROCESSES)
