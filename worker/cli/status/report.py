"""Reads the state of the whole service from Redis and the broker. `ops/docs/status.md` describes the result."""

from __future__ import annotations

import time
from collections import Counter
from typing import TypedDict

from celery import Celery
from redis import RedisError

from config.settings import Settings
from worker.cli.context import broker_problem, producer
from worker.cli.status.findings import Facts, problems, warnings
from worker.domain.times import rfc3339
from worker.queue.backlog import read_backlog
from worker.queue.checks import BROKER_ERRORS, ping_broker
from worker.queue.neighbors import foreign_consumer_warning, foreign_consumers, unread_lists
from worker.store.fleet import SEEN_S, FleetState
from worker.store.server import ServerFault, refusal_of
from worker.store.store import Store

MAX_ENDPOINTS = 1000
"""Endpoints that are read, those with the newest attempts."""

MAX_ERRORS = 5


class WorkerStatus(TypedDict):
    """A worker process of the last hour."""

    name: str
    running: bool
    seen_s_ago: float


class LaneStatus(TypedDict):
    """One lane."""

    members: int
    due: int
    workable: int
    oldest_overdue_s: float
    paused_s: float
    last_claim_s_ago: float | None


class JobsStatus(TypedDict):
    """Jobs that have not ended."""

    in_flight: int
    queued: int
    scheduled: int
    unresolved: int
    unresolved_oldest_s: float


class WebhooksStatus(TypedDict):
    """Webhooks and their endpoints."""

    pending: int
    dead: int
    endpoints: dict[str, int]


class DataStatus(TypedDict):
    """Since when Redis holds its data, and the last loss that a worker noticed. Times are RFC 3339."""

    since: str | None
    lost_at: str | None
    lost: str | None


class MessagesStatus(TypedDict):
    """Messages in the broker and entries of the inbox."""

    waiting: dict[str, int] | None
    unacked: int | None
    inbox: int
    rejected: int


class Delay(TypedDict):
    """Why unfinished jobs make no progress; of the first jobs of each lane."""

    reason: str
    error: str
    jobs: int


class LastError(TypedDict):
    """A job that ended without success."""

    at: str | None
    job: str
    kind: str
    state: str
    reason: str | None
    error: str | None


class Report(TypedDict):
    """The state of the whole service; `photogpt-worker status --json` prints it."""

    at: str
    healthy: bool
    problems: list[str]
    warnings: list[str]
    api_key_rejected: bool
    workers: list[WorkerStatus]
    lanes: dict[str, LaneStatus]
    jobs: JobsStatus
    webhooks: WebhooksStatus
    messages: MessagesStatus
    data: DataStatus
    delays: list[Delay]
    last_errors: list[LastError]


def read_report(store: Store, settings: Settings) -> Report:
    """Return the state of the service.

    Raises:
        redis.RedisError: Redis is unavailable.
    """
    fleet = store.fleet.read()
    asked = time.time()
    redis_fault = _redis_fault(store)
    messages, broker = _messages(settings, fleet, refuses=redis_fault is not None and settings.broker_url is None)
    endpoints, delays = store.endpoints.count_states(MAX_ENDPOINTS), _delays(store)
    facts = Facts(
        fleet=fleet,
        clock_offset_s=fleet.at - asked,
        redis_fault=redis_fault,
        broker=broker,
        endpoints=endpoints,
        delays={(delay["reason"], delay["error"]): delay["jobs"] for delay in delays},
        storage_errors=store.files.storage_errors(),
        waiting=None if messages["waiting"] is None else sum(messages["waiting"].values()),
    )
    found = problems(facts)
    return {
        "at": rfc3339(fleet.at),
        "healthy": not found,
        "problems": found,
        "warnings": warnings(facts),
        "api_key_rejected": facts.api_key_rejected,
        "workers": _workers(fleet),
        "lanes": _lanes(fleet),
        "jobs": _jobs(fleet),
        "webhooks": {"pending": fleet.webhooks_pending, "dead": fleet.webhooks_dead, "endpoints": endpoints},
        "messages": messages,
        "data": _data(fleet),
        "delays": delays,
        "last_errors": _last_errors(store),
    }


def _redis_fault(store: Store) -> str | None:
    """Return why this Redis cannot be used although it answers, or None."""
    try:
        store.server.check()
    except (ServerFault, RedisError) as error:
        return refusal_of(error) or str(error)
    return None


def _messages(settings: Settings, fleet: FleetState, *, refuses: bool) -> tuple[MessagesStatus, list[str]]:
    """Return the messages, and a sentence for each problem of the broker.

    Args:
        settings: of the command.
        fleet: with what Redis knows of messages.
        refuses: the broker is a Redis that refuses writes; then the other workers on it cannot be asked.
    """
    counted: MessagesStatus = {
        "waiting": None,
        "unacked": None,
        "inbox": fleet.inbox_entries,
        "rejected": fleet.messages_rejected,
    }
    with producer(settings) as app:
        try:
            ping_broker(settings)
            backlog = read_backlog(app, settings)
        except BROKER_ERRORS as error:
            return counted, [broker_problem(settings, error)]
        found = [] if refuses else _neighbors(app, settings)
    waiting = {name.value: count for name, count in backlog.waiting.items()}
    return {**counted, "waiting": waiting, "unacked": backlog.unacked}, found


def _neighbors(app: Celery, settings: Settings) -> list[str]:
    """Return a sentence for each problem with other apps on the broker, or for the broker that cannot be asked."""
    try:
        found = [str(each) for each in unread_lists(app)]
        names = foreign_consumers(app)
    except BROKER_ERRORS as error:
        return [broker_problem(settings, error)]
    return [*found, foreign_consumer_warning(names)] if names else found


def _workers(fleet: FleetState) -> list[WorkerStatus]:
    by_age = sorted(fleet.workers.items(), key=lambda item: item[1])
    return [{"name": name, "running": age_s < SEEN_S, "seen_s_ago": round(age_s, 1)} for name, age_s in by_age]


def _lanes(fleet: FleetState) -> dict[str, LaneStatus]:
    return {
        lane.value: {
            "members": state.members,
            "due": state.due,
            "workable": state.workable,
            "oldest_overdue_s": round(state.oldest_overdue_s, 1),
            "paused_s": round(state.paused_s, 1),
            "last_claim_s_ago": round(fleet.at - state.last_tick_at, 1) if state.last_tick_at else None,
        }
        for lane, state in fleet.lanes.items()
    }


def _jobs(fleet: FleetState) -> JobsStatus:
    return {
        "in_flight": fleet.in_flight,
        "queued": fleet.queued,
        "scheduled": fleet.scheduled,
        "unresolved": fleet.unresolved,
        "unresolved_oldest_s": round(fleet.unresolved_oldest_s, 1),
    }


def _data(fleet: FleetState) -> DataStatus:
    loss = fleet.data_loss
    return {
        "since": None if fleet.data_since is None else rfc3339(fleet.data_since),
        "lost_at": rfc3339(loss.noticed_at) if loss else None,
        "lost": str(loss) if loss else None,
    }


def _delays(store: Store) -> list[Delay]:
    counted = Counter(store.job_history.delays())
    return [{"reason": reason, "error": error, "jobs": jobs} for (reason, error), jobs in counted.most_common()]


def _last_errors(store: Store) -> list[LastError]:
    return [
        {
            "at": outcome["finished_at"],
            "job": outcome["id"],
            "kind": outcome["kind"],
            "state": outcome["state"],
            "reason": outcome["reason"],
            "error": outcome["error"],
        }
        for outcome in store.job_history.recent_failures(MAX_ERRORS)
    ]
