"""The Celery app, the clients of the process it runs in, and what happens at a worker's start and end."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from celery import Celery, signals
from celery.concurrency.thread import TaskPool
from redis import RedisError

from config.environment import ignored_variables
from config.settings import SECRET_FIELDS, Settings, load_settings
from worker.http.deadline import start_watchdog
from worker.lanes.metrics import serve_worker
from worker.lanes.runner import LaneRunner
from worker.queue.continuation import CONTINUED
from worker.queue.inbox import InboxReader
from worker.queue.limits import fit_open_files
from worker.queue.monitor import LaneMonitor
from worker.queue.neighbor_monitor import NeighborMonitor
from worker.queue.publisher import CeleryPublisher
from worker.queue.serialization import amqp_value, use_for_messages
from worker.queue.server_watch import ServerWatch
from worker.queue.transport import BrokerAMQP, configure
from worker.services import Services, open_services
from worker.store.connection import is_unavailable
from worker.store.workers import process_name
from worker.telemetry import traces
from worker.telemetry.health import health
from worker.telemetry.logs import configure_logs, event
from worker.telemetry.outage import Outage
from worker.telemetry.shortage import is_shortage, resources
from worker.telemetry.trace_context import read_traceparent


def create_app(settings: Settings) -> Celery:
    """Return the app. No connection is opened."""
    use_for_messages()
    created = Celery("photogpt", amqp=BrokerAMQP, set_as_current=False)
    configure(created, settings)
    created.conf.update(include=["worker.tasks"])
    return created


settings = load_settings()
app = create_app(settings)
publisher = CeleryPublisher(app, hide_prompts=settings.hide_prompts)
redis_outage = Outage(
    "redis.unavailable",
    "redis.recovered",
    message="Redis is unavailable; messages return to their queue until it is back",
    recovered="Redis is back",
)

_lock = threading.RLock()
_services: Services | None = None
_runner: LaneRunner | None = None
_monitors: tuple[LaneMonitor, NeighborMonitor] | None = None
_inbox: InboxReader | None = None


def services() -> Services:
    """Return the clients of this process, opened at the first call."""
    global _services  # noqa: PLW0603 - one per process, as the app
    if _services is None:
        with _lock:
            if _services is None:
                _services = open_services(fit_open_files(settings), publisher)
    return _services


def runner() -> LaneRunner:
    """Return the lane runner of this process, made at the first call."""
    global _runner  # noqa: PLW0603 - one per process, as the app
    if _runner is None:
        with _lock:
            if _runner is None:
                _runner = LaneRunner(services())
    return _runner


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    configure_logs(settings.log_level, settings.log_format)
    # `broker.unavailable` reports a lost connection; Celery warns of each attempt
    logging.getLogger("celery.worker.consumer.consumer").setLevel(logging.ERROR)
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_no_outage)


def is_no_outage(record: logging.LogRecord) -> bool:
    """Return False for a log record of an unavailable Redis or of a shortage, and report that instead.

    Celery and kombu log a traceback for each failed command. Celery's tracer warns while it handles the error.
    """
    exc_info = sys.exc_info() if record.name == "py.warnings" else record.exc_info
    error = exc_info[1] if exc_info else None
    if is_shortage(error):
        resources.report(error)
        return False
    while error and not isinstance(error, RedisError):
        error = error.__cause__ or error.__context__
    if not isinstance(error, RedisError) or not is_unavailable(error):
        return True
    redis_outage.report(error)
    return False


@signals.celeryd_after_setup.connect
def _listen(instance: Any = None, **_: Any) -> None:
    """Serve metrics and probes before the worker consumes.

    Raises:
        SystemExit: the address cannot be used, or the pool is none of threads.
    """
    if settings.http_address is None:
        return
    if not issubclass(instance.pool_cls, TaskPool):
        event("worker.refused", "PHOTOGPT_HTTP_ADDRESS needs the pool of threads: start with --pool=threads", warn=True)
        raise SystemExit(1)
    try:
        serve_worker(settings.http_address, lambda: _runner)
        ServerWatch(app, settings).start()
    except OSError as error:
        message = f"PHOTOGPT_HTTP_ADDRESS={settings.http_address} cannot be used: {error}"
        event("worker.refused", message, warn=True)
        raise SystemExit(1) from None


@signals.worker_ready.connect
def _start(sender: Any = None, **_: Any) -> None:
    global _inbox, _monitors  # noqa: PLW0603 - one per process
    publisher.event_dispatcher = lambda: getattr(sender, "event_dispatcher", None)
    name = process_name(getattr(sender, "hostname", "worker"), os.getpid())
    _monitors = LaneMonitor(services(), redis_outage, name), NeighborMonitor(app, services())
    _inbox = InboxReader(services(), redis_outage)
    parts = runner(), *_monitors, _inbox, publisher
    try:
        start_watchdog()
        for part in parts:
            part.start()
        publisher.take_tick = runner().ticks.take
    except RuntimeError as error:
        text = f"the worker cannot work: {error}; raise its limit of threads (ulimit -u, pids.max)"
        event("worker.refused", text, warn=True)
        raise SystemExit(1) from None
    health.started = True
    for text in ignored_variables(Settings.model_fields, SECRET_FIELDS):
        event("setting.ignored", text, warn=True)
    if settings.api_key is None:
        event("api_key.missing", "PHOTOGPT_API_KEY is not set: PhotoGPT refuses every request", warn=True)
    if not settings.webhook_secrets:
        event("webhooks.unsigned", "PHOTOGPT_WEBHOOK_SECRETS is not set: webhooks are sent unsigned", warn=True)
    event("worker.ready", "the worker takes messages", api=settings.base_url)


@signals.heartbeat_sent.connect
def _begin_round(**_: Any) -> None:
    if _monitors:
        _monitors[0].begin_round()


@signals.task_revoked.connect
def _mark_published(request: Any = None, **_: Any) -> None:
    """Record that a revoked task has its result: Celery has stored REVOKED."""
    services().store.jobs.mark_published(str(request.id))


@signals.before_task_publish.connect
def _pass_trace_on(headers: Any = None, **_: Any) -> None:
    """Let the tasks that follow a job in a canvas go on with its trace."""
    task = app.current_task
    request = task.request if task is not None else None
    if request is None or not isinstance(headers, dict) or not request.get(CONTINUED):
        return
    if traceparent := read_traceparent((request.headers or {}).get("traceparent")):
        headers.setdefault("traceparent", traceparent)


@signals.before_task_publish.connect
def _fit_headers(headers: Any = None, **_: Any) -> None:
    """Let RabbitMQ carry the headers of the tasks that follow a job in a canvas."""
    if settings.queue_url.startswith("amqp") and isinstance(headers, dict):
        headers.update(amqp_value(headers))


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    """Start no more steps. A second signal may interrupt this handler, which must not wait for its own locks then."""
    if health.stopping:
        return
    health.stopping = True
    for monitor in _monitors or ():
        monitor.stop()
    if _services:
        _services.stopping.set()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    _stop()  # Celery reports no beginning of a shutdown on SIGHUP, nor on the remote command
    if _inbox:
        _inbox.finish()
    if _runner:
        _runner.close()
    if _services:
        _services.close()
    if _monitors:
        _monitors[0].finish()
    traces.stop()
