"""The check that a worker makes once, before it consumes."""

from __future__ import annotations

import threading
import time

from redis import RedisError

from config.urls import masked
from worker.domain.errors import StorageError
from worker.outputs.outage import storage_outage
from worker.outputs.storage import check_storage
from worker.queue.app import app, redis_outage, services, settings
from worker.queue.checks import BROKER_ERRORS, broker_variable, check_broker, check_store
from worker.queue.unacked import wait_before_retry
from worker.store.diagnosis import unknown_host
from worker.store.server import ServerFault, refusal_of
from worker.telemetry import traces
from worker.telemetry.health import health
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage


def check_servers(broker_outage: Outage) -> bool:
    """Check the servers before the worker consumes; wait while Redis or the broker is unavailable.

    Args:
        broker_outage: reports that the broker is unavailable; the consumer ends it.

    Returns:
        False if the worker stops.

    Raises:
        SystemExit: the worker cannot work with these servers.
    """
    _start_traces()
    if not _check_store():
        return False
    threading.Thread(target=_check_outputs, name="outputs-check", daemon=True).start()
    return _check_broker(broker_outage)


def _start_traces() -> None:
    try:
        traces.start(settings)
    except traces.TracingUnavailable as error:
        event("worker.refused", f"the worker cannot work: {error}", warn=True)
        raise SystemExit(1) from None


def _check_store() -> bool:
    """Check Redis, again and again while it is unavailable; return False if the worker stops."""
    while True:
        try:
            check_store(services().store, settings, register=True)
        except ServerFault as error:
            raise _refused("Redis", settings.store_url, error) from None
        except StorageError as error:
            event("worker.refused", f"the worker cannot work: {error}", warn=True)
            raise SystemExit(1) from None
        except (RedisError, OSError) as error:
            _report(redis_outage, settings.store_url, "PHOTOGPT_REDIS_URL", error)
        else:
            redis_outage.resolve()
            health.redis_answered()
            return True
        if not wait_before_retry():
            return False


def _check_broker(outage: Outage) -> bool:
    """Check the broker, again and again while it is unavailable; return False if the worker stops."""
    while True:
        try:
            check_broker(app, settings)
        except ServerFault as error:
            raise _refused("the broker", settings.queue_url, error) from None
        except BROKER_ERRORS as error:
            _report(outage, settings.queue_url, broker_variable(settings), error)
        else:
            return True
        if not wait_before_retry():
            return False


def _report(outage: Outage, url: str, variable: str, error: Exception) -> None:
    """Report an outage: what Redis refuses, or, the first time, a host that is unknown."""
    outage.report(refusal_of(error) or (not outage.active and unknown_host(url, variable)) or error)


def _check_outputs() -> None:
    """Log if nothing can be stored. Jobs go on, since their files wait; an answer may take a minute to fail."""
    storage = services().storage
    if storage is None:
        return
    began_at = time.monotonic()
    try:
        check_storage(storage)
    except StorageError as error:
        storage_outage.report(error, began_at=began_at)


def _refused(name: str, url: str, error: ServerFault) -> SystemExit:
    event("worker.refused", f"the worker cannot work with {name} at {masked(url)}: {error}", warn=True)
    return SystemExit(1)
