"""Logs are events: a constant name, a sentence for people, and fields."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

log = logging.getLogger("photogpt")


def event(name: str, sentence: str, *, warn: bool = False, exc_info: bool = False, **fields: Any) -> None:
    """Log one event.

    Args:
        name: constant, dotted (`job.accepted`): what to search for.
        sentence: what happened, and what happens next.
        warn: somebody may have to do something.
        exc_info: add the traceback of the exception being handled.
        fields: ids and numbers; never a secret, never a prompt.
    """
    level = logging.ERROR if exc_info else logging.WARNING if warn else logging.INFO
    log.log(level, sentence, exc_info=exc_info, extra={"event": name, "fields": fields})


def _one_line(text: str) -> str:
    """Ids are the producers', error texts are others': nobody but us begins a line or colours a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class TextFormatter(logging.Formatter):
    """`time level event sentence field=value`, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it."""
        fields = " ".join(
            f"{name}={_one_line(str(value))}"
            for name, value in getattr(record, "fields", {}).items()
            if value is not None
        )
        name = getattr(record, "event", record.name)
        line = f"{self.formatTime(record)} {record.levelname:<7} {name:<20} {_one_line(record.getMessage())}"
        line = f"{line}  [{fields}]" if fields else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure_logs(level: str, style: str) -> None:
    """Send everything to standard error in one style; Celery's own lines below a warning stay out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("celery", "kombu", "amqp", "urllib3", "requests_hardened", "redis"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # of an answer's broken head it warns with the whole URL
    logging.getLogger("celery.apps.worker").setLevel(level)
