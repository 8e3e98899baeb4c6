"""Connects to Redis with a limit on every wait, and separates errors that pass from those that do not."""

from __future__ import annotations

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

from worker.domain.lane import Lane
from worker.store.sentinel import sentinels_of

if TYPE_CHECKING:
    from config.settings import Settings

TEMPORARY_ERRORS = ("READONLY", "OOM ", "LOADING", "BUSY ", "NOREPLICAS", "MISCONF", "MASTERDOWN", "NOPERM")
"""Error codes of a Redis that refuses commands for a while, also inside the error of a script."""


OTHER_THREADS = 40
"""Threads beside Celery's and the lanes' that may wait for Redis at once: for local ticks, slices of a list, leases.

A command for which no connection is left fails at once, as if Redis were unavailable.
"""


def connect(settings: Settings, *, retries: int = 3) -> redis.Redis:
    """Return a client. It repeats a command whose answer was lost a few times; every script of ours allows that."""
    limits: dict[str, Any] = {
        "decode_responses": True,
        "encoding_errors": "replace",  # JSON can spell half a surrogate pair, UTF-8 cannot
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "max_connections": settings.concurrency + len(Lane) * settings.call_concurrency + OTHER_THREADS,
        "client_name": "photogpt-worker",
        "driver_info": None,  # each of these two costs a new connection round trips, and nobody reads them
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), retries=retries),
    }
    return _client(settings, settings.store_url, limits)


def answers(settings: Settings, url: str, *, timeout_s: float) -> bool:
    """Whether a Redis answers one PING on a new connection; see `ping`."""
    try:
        ping(settings, url, timeout_s=timeout_s)
    except (RedisError, OSError):
        return False
    return True


def ping(settings: Settings, url: str, *, timeout_s: float) -> None:
    """Send one PING on a new connection. Nothing is repeated; redis-py would ask a silent server for 80 s.

    Args:
        settings: with what belongs to the URL: certificates, Sentinel.
        url: of Redis.
        timeout_s: maximum time to connect, and again to answer, seconds.

    Raises:
        redis.RedisError, OSError: Redis does not answer.
    """
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
    with _client(settings, url, limits, sentinel_retries=0) as client:
        client.ping()


def _client(settings: Settings, url: str, limits: dict[str, Any], *, sentinel_retries: int = 1) -> redis.Redis:
    if url.startswith("sentinel://"):
        return _primary(settings, url, limits, sentinel_retries)
    if url.startswith("rediss://") and settings.redis_ca_file:
        limits = limits | {"ssl_ca_certs": str(settings.redis_ca_file)}
    return redis.Redis.from_url(url, **limits)


def _primary(settings: Settings, url: str, limits: dict[str, Any], sentinel_retries: int) -> redis.Redis:
    """Return a client of the primary that the Sentinels name at each new connection."""
    first = urlsplit(url.partition(";")[0])
    found: redis.Redis = sentinels_of(settings, url, retries=sentinel_retries).master_for(
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
