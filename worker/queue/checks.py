"""Checks of the servers that `ping` and the start of every worker share: what passes here can work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.settings import Settings
from worker.store.connection import ping
from worker.store.diagnosis import settings_fault, unknown_host
from worker.store.server import MAX_CLOCK_OFFSET_S, ServerFault, ServerReport, check_mode, fault_of, refusal_of
from worker.store.store import Store
from worker.telemetry.error_text import error_text

if TYPE_CHECKING:
    from celery import Celery

BROKER_ERRORS = (AMQPError, OperationalError, OSError, RedisError)
"""With which a broker refuses or fails."""

ANSWER_WITHIN_S = 3.0
"""How long a server may take to accept a connection, and then to answer, before it counts as unavailable."""


def check_store(store: Store, settings: Settings, *, register: bool) -> ServerReport:
    """Check the Redis that holds the jobs, and that its jobs are those of our PhotoGPT account.

    Args:
        store: of the process.
        settings: of the process.
        register: register the account if none is; `ping` only checks.

    Raises:
        ServerFault: the service cannot work with this Redis.
        redis.RedisError: Redis is unavailable.
    """
    try:
        ping(settings, settings.store_url, timeout_s=ANSWER_WITHIN_S)
        report = store.server.check()
    except (RedisError, OSError) as error:
        raise settings_fault(settings, settings.store_url, error) or error from None
    store.server.check_account(
        settings.base_url, settings.api_key, replaces=settings.replace_account, register=register
    )
    return report


def check_broker(app: Celery, settings: Settings) -> str:
    """Check that every queue can be used; return the kind of the broker.

    Raises:
        ServerFault: the service cannot work with this broker.
        kombu.exceptions.OperationalError, amqp.AMQPError, redis.RedisError, OSError: the broker is unavailable.
    """
    try:
        ping_broker(settings)
        with app.connection_for_write(connect_timeout=ANSWER_WITHIN_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)  # a silent broker is asked once
            kind = str(connection.transport.driver_type)
            channel: Any = connection.default_channel
            if kind == "redis":
                check_mode(channel.client.info())
            for queue in app.amqp.queues.values():
                queue(channel).declare()
            return kind
    except BROKER_ERRORS as error:
        if fault := broker_fault(settings, error):
            raise fault from None
        raise


def broker_fault(settings: Settings, error: Exception) -> ServerFault | None:
    """Return what to correct about an error of the broker that does not pass; None for an outage."""
    text = getattr(error, "reply_text", None) or str(error)
    if isinstance(error, PreconditionFailed):
        return ServerFault(
            f"a queue exists with other arguments ({text}); delete that queue in RabbitMQ, or name another one with "
            "PHOTOGPT_QUEUE or PHOTOGPT_NAMESPACE"
        )
    if isinstance(error, AccessRefused) and "Login" in text:
        return ServerFault(f"it refuses the login ({text}); correct the user and the password in the URL")
    if isinstance(error, AccessRefused):
        return ServerFault(f"the user may not declare a queue ({text}); allow it in RabbitMQ")
    if isinstance(error, NotAllowed):
        return ServerFault(f"it allows the user no such virtual host ({text}); correct the URL, or allow it")
    return settings_fault(settings, settings.queue_url, error) if _is_redis(settings.queue_url) else fault_of(error)


def ping_broker(settings: Settings) -> None:
    """Ask a broker on Redis once, on a connection of its own; RabbitMQ has limits of its own.

    Raises:
        redis.RedisError, OSError: it does not answer.
    """
    if _is_redis(settings.queue_url):
        ping(settings, settings.queue_url, timeout_s=ANSWER_WITHIN_S)


def _is_redis(url: str) -> bool:
    return urlsplit(url).scheme in {"redis", "rediss", "sentinel"}


def broker_variable(settings: Settings) -> str:
    """Return the variable that holds the broker's URL."""
    return "PHOTOGPT_REDIS_URL" if settings.broker_url is None else "PHOTOGPT_BROKER_URL"


def unavailable(error: Exception, url: str, variable: str) -> str:
    """Return the sentence for a server that does not answer, or not as it should.

    Args:
        error: with which a command failed.
        url: of the server.
        variable: that holds the server's URL.
    """
    text = error_text(error)
    if refusal := refusal_of(error):
        return refusal
    if unknown := unknown_host(url, variable):
        return unknown
    if "No master found" in text:
        return f"no primary ({text}); check the Sentinels in {variable}, and PHOTOGPT_SENTINEL_MASTER"
    return f"no answer ({text}); check that it runs and that {variable} is right"


def clock_warning(offset_s: float) -> str | None:
    """Return a sentence if Redis' clock is far ahead of this machine's, or behind it.

    Args:
        offset_s: seconds by which it is ahead.
    """
    if abs(offset_s) <= MAX_CLOCK_OFFSET_S:
        return None
    side = "ahead of" if offset_s > 0 else "behind"
    return (
        f"Redis' clock is {abs(offset_s):.0f} s {side} this machine's; set both by NTP: deadlines follow Redis' clock, "
        "webhook signatures this machine's"
    )
