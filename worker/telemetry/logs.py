"""Logs are events: a name from a closed list, a message for people, and fields."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any, Literal

from worker.domain.times import rfc3339
from worker.telemetry.trace_context import current_trace_id

log = logging.getLogger("photogpt")

EventName = Literal[
    "account.foreign",
    "api_key.missing",
    "api_key.rejected",
    "broker.recovered",
    "broker.unavailable",
    "clock.skewed",
    "endpoint.circuit_opened",
    "endpoint.disabled",
    "file.attempt_failed",
    "file.stored",
    "files.given_up",
    "files.stored",
    "flower.event_lost",
    "inbox.failed",
    "inbox.rejected",
    "job.accepted",
    "job.duplicate",
    "job.ended",
    "job.no_continuation",
    "job.refused",
    "job.storing",
    "job.submitted",
    "job.update_too_late",
    "lane.run_failed",
    "lane.write_failed",
    "lane_monitor.failed",
    "list_poll.failed",
    "list_poll.suspended",
    "message.lost",
    "message.foreign",
    "message.recorded",
    "message.rejected",
    "message.unrecorded",
    "message.unsent",
    "neighbor_monitor.failed",
    "outputs.recovered",
    "outputs.unavailable",
    "queue.foreign_consumer",
    "queue.unread",
    "redis.clock_skewed",
    "redis.data_lost",
    "redis.recovered",
    "redis.unavailable",
    "resources.exhausted",
    "resources.limited",
    "resources.recovered",
    "result.not_marked",
    "result.resent",
    "setting.ignored",
    "status.unknown",
    "step.failed",
    "traces.lost",
    "traces.recovered",
    "threads.exhausted",
    "threads.recovered",
    "trigger.adopted",
    "trigger.retried",
    "trigger.unresolved",
    "webhook.attempt_failed",
    "webhook.delivered",
    "webhook.requeued",
    "webhooks.requeued",
    "webhooks.unsigned",
    "worker.ready",
    "worker.refused",
]
"""Every event of the service's own log. `ops/docs/events.md` describes each; a test compares the two."""


on_event: Callable[[EventName], None] | None = None
"""Called with the name of each event, if metrics are on."""


def event(
    name: EventName, message: str, *, warn: bool = False, severe: bool = False, exc_info: bool = False, **fields: Any
) -> None:
    """Log one event.

    Args:
        name: what to search for.
        message: what happened, and what happens next.
        warn: an operator may have to act.
        severe: an operator has to act now.
        exc_info: add the traceback of the exception that is being handled.
        fields: every id and number of the event; never a secret, never a prompt. None is left out of text lines.
            `trace_id` is added where tracing is on.
    """
    trace_id = current_trace_id()
    if trace_id is not None:
        fields["trace_id"] = trace_id
    if on_event is not None:
        on_event(name)
    level = logging.ERROR if severe or exc_info else logging.WARNING if warn else logging.INFO
    log.log(level, message, exc_info=exc_info, extra={"event": name, "fields": fields})


def _one_line(text: str) -> str:
    """Escape what could start a line of its own or color a terminal: ids and error texts come from outside."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class TextFormatter(logging.Formatter):
    """Formats `time level event message  [field=value …]` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it."""
        fields = " ".join(
            f"{name}={_one_line(str(value))}"
            for name, value in getattr(record, "fields", {}).items()
            if value is not None
        )
        name = getattr(record, "event", record.name)
        line = f"{self.formatTime(record)} {record.levelname:<7} {name:<22} {_one_line(record.getMessage())}"
        line = f"{line}  [{fields}]" if fields else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """Formats one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text."""
        entry = {
            "time": rfc3339(record.created),
            "level": record.levelname,
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure_logs(level: str, style: str) -> None:
    """Send every log to standard error in one style, without the libraries' lines below a warning.

    Args:
        level: of our own events, `INFO` for instance.
        style: `text` or `json`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("celery", "kombu", "amqp", "urllib3", "requests_hardened", "redis"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote whole URLs, which may hold a secret
    logging.getLogger("celery.apps.worker").setLevel(level)
