"""The check that a worker makes once, when its broker is connected and before it consumes."""

from __future__ import annotations

from kombu.exceptions import OperationalError
from redis import RedisError

from worker.queue.app import app, redis_outage, services, settings
from worker.queue.checks import check_broker, check_store, clock_warning
from worker.queue.transport import wait_before_retry
from worker.store.server import ServerFault
from worker.telemetry import traces
from worker.telemetry.health import health
from worker.telemetry.logs import event


def check_servers() -> None:
    """Check the servers before the worker consumes; wait while Redis is unavailable.

    Raises:
        SystemExit: the worker cannot work with these servers.
    """
    try:
        traces.start(settings)
    except traces.TracingUnavailable as error:
        event("worker.refused", f"the worker cannot work: {error}", warn=True)
        raise SystemExit(1) from None
    while True:
        try:
            report = check_store(services().store, settings, register=True)
            check_broker(app)
        except ServerFault as error:
            event("worker.refused", f"the worker cannot work: {error}", warn=True)
            raise SystemExit(1) from None
        except RedisError as error:
            redis_outage.report(error)
        except (OperationalError, OSError):
            return  # the consumer reports it, and connects again
        else:
            redis_outage.resolve()
            health.redis_answered()
            break
        if not wait_before_retry():
            return
    if warning := clock_warning(report):
        event("redis.clock_skewed", warning, warn=True, offset_s=round(report.clock_offset_s))
