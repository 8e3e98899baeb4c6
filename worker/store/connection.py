"""Opens the store: a Redis client with a limit on every wait, and the classes that use it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import redis
from redis import RedisError
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import (
    DataError,
    ExecAbortError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from worker.domain.delivery import BodyOptions
from worker.domain.poll_schedule import Limits
from worker.store.batches import Batches
from worker.store.deliveries import MIN_RETENTION_S, Deliveries
from worker.store.durations import Schedules
from worker.store.endpoints import EndpointLimits, Endpoints
from worker.store.files import FileOptions, Files
from worker.store.fleet import ANSWER_MARGIN_S, Fleet
from worker.store.generations import Generations
from worker.store.inbox import Inbox
from worker.store.job_history import JobHistory
from worker.store.jobs import Jobs
from worker.store.keys import Keys
from worker.store.lanes import Caps, Lanes
from worker.store.list_poll import ListPolls
from worker.store.records import Retention
from worker.store.rejected import Rejected
from worker.store.scripts import Scripts
from worker.store.sentinel import sentinels_of
from worker.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from worker.store.lanes import Tick

TEMPORARY_ERRORS = ("READONLY", "OOM ", "LOADING", "BUSY ", "NOREPLICAS", "MISCONF", "MASTERDOWN", "NOPERM")
"""Error codes of a Redis that refuses commands for a while, also inside the error of a script."""


def connect(settings: Settings, *, retries: int = 3) -> redis.Redis:
    """Return a client. It repeats a command whose answer was lost a few times; every script of ours allows that."""
    limits: dict[str, Any] = {
        "decode_responses": True,
        "encoding_errors": "replace",  # JSON can spell half a surrogate pair, UTF-8 cannot
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "max_connections": settings.concurrency + 2 * settings.call_concurrency + 8,
        "client_name": "photogpt-worker",
        "driver_info": None,  # each of these two costs a new connection round trips, and nobody reads them
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), retries=retries),
    }
    return _client(settings, settings.store_url, limits)


def answers(settings: Settings, url: str, *, timeout_s: float) -> bool:
    """Whether a Redis answers one PING on a new connection; see `ask`."""
    try:
        ask(settings, url, timeout_s=timeout_s)
    except (RedisError, OSError):
        return False
    return True


def ask(settings: Settings, url: str, *, timeout_s: float) -> None:
    """Send one PING on a new connection. Nothing is repeated; redis-py would ask a silent server for 80 s.

    Args:
        settings: with what belongs to the URL: certificates, Sentinel.
        url: of Redis.
        timeout_s: maximum time to connect, and again to answer, seconds.

    Raises:
        redis.RedisError, OSError: Redis does not answer.
    """
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
    with _client(settings, url, limits) as client:
        client.ping()


def _client(settings: Settings, url: str, limits: dict[str, Any]) -> redis.Redis:
    if url.startswith("sentinel://"):
        return _primary(settings, url, limits)
    if url.startswith("rediss://") and settings.redis_ca_file:
        limits = limits | {"ssl_ca_certs": str(settings.redis_ca_file)}
    return redis.Redis.from_url(url, **limits)


def _primary(settings: Settings, url: str, limits: dict[str, Any]) -> redis.Redis:
    """Return a client of the primary that the Sentinels name at each new connection."""
    first = urlsplit(url.partition(";")[0])
    found: redis.Redis = sentinels_of(settings, url).master_for(
        settings.sentinel_master or "",
        db=int(first.path.strip("/") or 0),
        username=unquote(first.username) if first.username else None,
        password=unquote(first.password) if first.password else None,
        **limits,
    )
    return found


def is_unavailable(error: RedisError) -> bool:
    """Whether Redis does not answer or refuses writes for a while.

    A script that is missing right after it was loaded means that the server has restarted in between. Any other error
    of Redis (a wrong type, a script that raised) is a fault of the record or of this code, and so is a value that
    cannot be sent.
    """
    if not isinstance(error, ResponseError):
        return not isinstance(error, DataError)
    temporary = ReadOnlyError | OutOfMemoryError | NoPermissionError | ExecAbortError | MasterDownError | NoScriptError
    return isinstance(error, temporary) or any(code in str(error) for code in TEMPORARY_ERRORS)


class ServerClock:
    """Redis' clock: read once a minute, and advanced by the process' monotonic clock in between."""

    def __init__(self, client: redis.Redis, *, refresh_s: float = 60) -> None:
        """Read the time at the first call, and again every `refresh_s` seconds."""
        self._client = client
        self._refresh_s = refresh_s
        self._offset = 0.0
        self._asked = float("-inf")

    def __call__(self) -> float:
        """Return epoch seconds."""
        now = time.monotonic()
        if now - self._asked > self._refresh_s:
            seconds, microseconds = self._client.time()
            now = time.monotonic()
            self._offset = seconds + microseconds / 1e6 - now
            self._asked = now
        return now + self._offset


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """Everything that is stored in Redis."""

    _client: Any
    keys: Keys
    scripts: Scripts
    clock: ServerClock
    jobs: Jobs
    job_history: JobHistory
    inbox: Inbox
    generations: Generations
    deliveries: Deliveries
    endpoints: Endpoints
    lanes: Lanes
    server: Server
    schedules: Schedules
    list_polls: ListPolls
    rejected: Rejected
    files: Files
    batches: Batches
    fleet: Fleet

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def ping(self) -> bool:
        """Whether Redis answers."""
        return bool(self._client.ping())

    def load_scripts(self) -> None:
        """Load all scripts into the server. Not needed, but it saves the first call of each two round trips."""
        self.scripts.load(self._client)

    def check_writes(self) -> None:
        """Write a key that needs memory; raises the error with which Redis refuses that."""
        self._client.set(self.keys.probe, "", ex=60)


def bodies_of(settings: Settings) -> BodyOptions:
    """Return how webhook bodies are written, by the settings."""
    return BodyOptions(
        thin=settings.webhook_body == "thin",
        max_bytes=settings.webhook_max_bytes,
        outcome_url=settings.webhook_outcome_url,
        outcome_key=Keys(settings.namespace).job("{id}"),
    )


def poll_limits(settings: Settings) -> dict[bool, Limits]:
    """Return the poll limits of trainings (True) and of all other jobs (False), by the settings."""
    jobs = settings.job_poll_interval_s, settings.job_poll_floor_s, settings.job_poll_ceiling_s
    models = settings.model_poll_interval_s, settings.model_poll_floor_s, settings.model_poll_ceiling_s
    kinds = (False, jobs), (True, models)
    if settings.schedule == "fixed":
        return {training: Limits(interval, interval, interval) for training, (interval, _, _) in kinds}
    return {
        training: Limits(interval, min(floor, interval), max(ceiling, interval))
        for training, (interval, floor, ceiling) in kinds
    }


def open_store(settings: Settings, publish_tick: Callable[[Tick], None], *, retries: int = 3) -> Store:
    """Return the store. Connections open when they are needed.

    Args:
        settings: of the process.
        publish_tick: sends a tick message; it must not raise when the broker is unavailable.
        retries: of a command whose answer was lost.
    """
    client, keys = connect(settings, retries=retries), Keys(settings.namespace)
    clock = ServerClock(client)
    scripts = Scripts(client, keys, max_countdown_s=settings.max_countdown_s)
    caps = Caps(active=settings.max_active, requests_per_s=settings.max_requests_per_s)
    limits, retention, bodies = _endpoint_limits(settings), _retention(settings), bodies_of(settings)
    delivery_retention_s = max(MIN_RETENTION_S, settings.retention_s)
    return Store(
        _client=client,
        keys=keys,
        scripts=scripts,
        clock=clock,
        jobs=Jobs(
            client,
            scripts,
            publish_tick,
            retention=retention,
            caps=caps,
            clock=clock,
            bodies=bodies,
        ),
        job_history=JobHistory(client, scripts),
        inbox=Inbox(client, keys),
        generations=Generations(client, keys),
        deliveries=Deliveries(client, scripts, publish_tick, retention_s=delivery_retention_s, endpoint_limits=limits),
        endpoints=Endpoints(
            client, scripts, publish_tick, endpoint_limits=limits, delivery_retention_s=delivery_retention_s
        ),
        files=Files(client, scripts, publish_tick, clock, FileOptions(retention, settings.outputs_deadline_s, bodies)),
        rejected=Rejected(client, keys, clock),
        batches=Batches(scripts, clock, retention),
        fleet=Fleet(
            client,
            scripts,
            requests_per_s=settings.max_requests_per_s,
            unresolved_after_s=settings.api_call_deadline_s + ANSWER_MARGIN_S,
        ),
        lanes=Lanes(client, scripts, publish_tick, caps=caps, clock=clock),
        server=Server(client, scripts),
        schedules=Schedules(client, keys, clock, limits=poll_limits(settings), learned=settings.schedule == "learned"),
        list_polls=ListPolls(client, scripts, publish_tick, requests_per_s=settings.max_requests_per_s),
    )


def _retention(settings: Settings) -> Retention:
    return Retention(
        record_s=settings.retention_s,
        idempotency_s=settings.idempotency_ttl_s,
        events_max_length=settings.events_max_length,
    )


def _endpoint_limits(settings: Settings) -> EndpointLimits:
    return EndpointLimits(
        in_flight=settings.webhook_max_in_flight,
        per_s=settings.webhook_max_per_s,
        deadline_s=settings.webhook_deadline_s,
        disable_after_s=settings.webhook_disable_after_s,
        history_max=settings.webhook_history_max,
        events_max_length=settings.events_max_length,
    )
