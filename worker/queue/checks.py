"""Checks of the servers that `ping` and the start of every worker share: what passes here can work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from amqp.exceptions import AccessRefused, PreconditionFailed
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.settings import Settings
from worker.store.sentinel import primary_names
from worker.store.server import MAX_CLOCK_OFFSET_S, ServerFault, ServerReport, check_mode, fault_of
from worker.store.store import Store

if TYPE_CHECKING:
    from celery import Celery

CLIENT = re.compile(r"<redis\.client\.Redis\(.*?host=([^,]*),port=(\d+).*?\)>\)>\)>")
"""A Sentinel in an error of redis-py, with all options of its client."""


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
        report = store.server.check()
    except RedisError as error:
        raise _primary_fault(settings, settings.store_url, error) or error from None
    store.server.check_account(
        settings.base_url, settings.api_key, replaces=settings.replace_account, register=register
    )
    return report


def _primary_fault(settings: Settings, url: str, error: Exception) -> ServerFault | None:
    """Return the fault of a primary that no Sentinel knows. One that is known and down is an outage."""
    if "No master found" not in str(error):
        return None
    names, name = primary_names(settings, url), settings.sentinel_master
    if names is None or name in names:
        return None
    known = f"they know {', '.join(sorted(names))}" if names else "they know none"
    return ServerFault(f"the Sentinels know no primary {name!r}, and {known}; correct PHOTOGPT_SENTINEL_MASTER")


def check_broker(app: Celery, settings: Settings) -> str:
    """Check that every queue can be used; return the kind of the broker.

    Raises:
        ServerFault: the service cannot work with this broker.
        kombu.exceptions.OperationalError: the broker is unavailable.
    """
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            kind = str(connection.transport.driver_type)
            channel: Any = connection.default_channel
            if kind == "redis":
                check_mode(channel.client.info())
            for queue in app.amqp.queues.values():
                queue(channel).declare()
            return kind
    except PreconditionFailed as error:
        raise ServerFault(
            f"a queue exists with other arguments ({error.reply_text}); delete that queue in RabbitMQ, or name another "
            "one with PHOTOGPT_QUEUE or PHOTOGPT_NAMESPACE"
        ) from None
    except AccessRefused as error:
        raise ServerFault(f"the user may not declare a queue ({error.reply_text}); allow it in RabbitMQ") from None
    except (OperationalError, RedisError, OSError) as error:
        if fault := fault_of(error) or _primary_fault(settings, settings.queue_url, error):
            raise fault from None
        raise


def unavailable(error: Exception, variable: str) -> str:
    """Return the sentence for a server that does not answer, or not as it should.

    Args:
        error: with which a command failed.
        variable: that holds the server's URL.
    """
    text = CLIENT.sub(r"\1:\2", str(error))
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
