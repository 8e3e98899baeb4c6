"""The Celery app, and the clients of the process it runs in."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
import time
from typing import Any

from celery import Celery, bootsteps, signals
from celery.exceptions import BackendStoreError, Reject
from celery.worker.request import Request
from celery.worker.state import revoked
from redis import RedisError

from config.celery import celery_options
from config.settings import Settings, load_settings
from worker.domain.errors import SubmissionError
from worker.queue.publisher import CeleryPublisher, describe
from worker.services import Services, open_services
from worker.steps.cancel import cancel
from worker.store.connection import is_unavailable
from worker.telemetry.logs import configure_logs, event
from worker.telemetry.outage import Outage

WATCH_S = 1.0
BOUNCE_S = 2.0  # a message that the ledger could not take stays here for so long

redis_outage = Outage("redis.unavailable", "Redis does not answer, or refuses")
"""What this process knows of it."""


def create_app(settings: Settings) -> Celery:
    """Return the app. Nothing is opened."""
    created = Celery("photogpt", set_as_current=False)
    created.conf.update(celery_options(settings))
    created.conf.update(include=["worker.tasks"])
    created.steps["worker"].add(LaneMonitor)
    return created


class LaneMonitor(bootsteps.StartStopStep):
    """Asks about once a second whether a lane's tick message is missing. In every worker: there is no single beat."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """Prepare; nothing runs yet."""
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self, parent: Any) -> None:
        """Begin to watch."""
        del parent
        self._thread.start()

    def stop(self, parent: Any) -> None:
        """End within a moment."""
        del parent
        self._stop.set()

    def _run(self) -> None:
        seen: set[str] = set()
        while not self._stop.wait(WATCH_S * random.uniform(0.7, 1.3)):  # noqa: S311 - spreads workers, no secret
            try:
                services().store.lanes.ensure_ticks()
                if settings.list_polling:
                    services().store.list_polls.ensure_scheduled()
                _cancel_revoked(seen)
                if redis_outage.active:
                    services().store.prove_writes()  # a replica, or a full server, answers what only reads
                    redis_outage.resolve()
            except RedisError as error:
                redis_outage.report(error)
            except Exception:  # noqa: BLE001 - the watch must outlive everything
                event("lane_monitor.failed", "looking for missing publisher raised; it goes on", exc_info=True)


def _cancel_revoked(seen: set[str]) -> None:
    """Cancel the jobs that somebody has revoked, in Flower for instance: Celery alone would only look away."""
    current = set(revoked)
    fresh = current - seen
    seen &= current
    for job_id in fresh:
        with contextlib.suppress(SubmissionError):  # a task of somebody else's
            cancel(services(), job_id, revoked=True)
        seen.add(job_id)


class RedactedRequest(Request):
    """A message whose arguments may be shown, and that goes back after a moment, for it comes again at once."""

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's own signature
        """Hand the message back. Runs in the thread that the task ran in, which so takes no other one meanwhile."""
        if requeue:
            time.sleep(BOUNCE_S * random.uniform(0.5, 1.5))  # noqa: S311 - spreads threads, no secret
        super().reject(requeue)

    @property
    def argsrepr(self) -> str:
        """What goes into events: positional arguments are outcomes of other tasks."""
        return "(…)" if self.args else "()"

    @property
    def kwargsrepr(self) -> str:
        """What goes into events, without secrets."""
        told: str | None = self.request_dict.get("kwargsrepr") if not self.kwargs else None
        return told or describe(self.kwargs, hide_prompts=settings.hide_prompts)


settings = load_settings()
app = create_app(settings)
publisher = CeleryPublisher(app, hide_prompts=settings.hide_prompts)

_lock = threading.Lock()
_opened: dict[int, Services] = {}


def services() -> Services:
    """Return the clients of this process, opened at the first call: after every fork."""
    pid = os.getpid()
    if pid not in _opened:
        with _lock:
            if pid not in _opened:
                _opened[pid] = open_services(settings, publisher)
    return _opened[pid]


@signals.setup_logging.connect
def _logs(**_: Any) -> None:
    configure_logs(settings.log_level, settings.log_format)
    for handler in logging.getLogger().handlers:  # Celery, kombu and its hub all log tracebacks of an outage
        handler.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether nobody has told it in a sentence: that Redis is away, or that a message goes back for that reason."""
    error = record.exc_info[1] if record.exc_info else None
    if record.name == "py.warnings":  # how Celery's tracer tells, inside an `except`, that it cannot store a result
        error = sys.exc_info()[1]
    if isinstance(error, BackendStoreError):
        error = error.__cause__ or error.__context__
    if isinstance(error, RedisError) and is_unavailable(error):
        redis_outage.report(error)
        return False
    return not isinstance(error, Reject)


@signals.worker_ready.connect
def _ready(sender: Any = None, **_: Any) -> None:
    publisher.dispatcher = lambda: getattr(sender, "event_dispatcher", None)
    if settings.api_key is None:
        event("api_key.missing", "PHOTOGPT_API_KEY is not set: PhotoGPT will refuse every request", warn=True)
    if not settings.webhook_secrets:
        event("webhooks.unsigned", "PHOTOGPT_WEBHOOK_SECRETS is not set: webhooks go out unsigned", warn=True)
    event("worker.ready", "waiting for work", api=settings.base_url)


@signals.task_revoked.connect
def _revoked(request: Any = None, **_: Any) -> None:
    """Celery has stored that the task was revoked: that is the job's result, and nobody has to see to another."""
    services().store.jobs.mark_published(str(request.id))


@signals.worker_shutting_down.connect
def _stopping(**_: Any) -> None:
    """Begin nothing any more. Runs inside the signal handler: a flag, no lock, no Redis."""
    for opened in list(_opened.values()):
        opened.stopping.set()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    opened = _opened.pop(os.getpid(), None)
    if opened is not None:
        opened.close()
