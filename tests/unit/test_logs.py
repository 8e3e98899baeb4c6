"""Logs are events with fields, one on a line."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from worker.telemetry.logs import JsonFormatter, TextFormatter, event


def record(sentence: str = "accepted", **fields: Any) -> logging.LogRecord:
    """Return what `event` hands to the handlers."""
    made = logging.LogRecord("photogpt", logging.WARNING, __file__, 1, sentence, None, None)
    made.event, made.fields = "job.accepted", fields
    return made


def test_text_is_one_line_with_event_and_fields() -> None:
    """Time, level, event, sentence, fields; what is None is left out."""
    line = TextFormatter().format(record(job="job-1", lane=None, tries=3))
    assert line.split()[2:] == ["WARNING", "job.accepted", "accepted", "[job=job-1", "tries=3]"]


def test_json_is_one_object_with_the_fields_beside() -> None:
    """Ready for a log store."""
    entry = json.loads(JsonFormatter().format(record(job="job-ü", tries=3)))
    assert {name: entry[name] for name in entry if name != "time"} == {
        "level": "WARNING",
        "event": "job.accepted",
        "message": "accepted",
        "job": "job-ü",
        "tries": 3,
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize("text", ["a\n2026-01-01 00:00:00 ERROR forged", "a\r\nb", "a\x1b[31mb"])
def test_nobody_forges_a_line(formatter: logging.Formatter, text: str) -> None:
    """A task id is the producer's, an error text is PhotoGPT's or a receiver's."""
    for line in (formatter.format(record(job=text)), formatter.format(record(text))):
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line


def test_json_takes_what_json_does_not_know() -> None:
    """A log line must never raise."""
    entry = json.loads(JsonFormatter().format(record(at={1, 2}, error=ValueError("x"))))
    assert entry["error"] == "x"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_lines_of_others_are_formatted_too(formatter: logging.Formatter) -> None:
    """Celery's own records have no event."""
    endpoint_at_fault = logging.LogRecord("celery.worker", logging.INFO, __file__, 1, "%s ready", ("w1",), None)
    assert "celery.worker" in formatter.format(endpoint_at_fault)
    assert "w1 ready" in formatter.format(endpoint_at_fault)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_traceback_is_kept(formatter: logging.Formatter) -> None:
    """Below the line, or in a field."""
    made = record()
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        made.exc_info = sys.exc_info()
    assert "RuntimeError: boom" in formatter.format(made)


@pytest.mark.parametrize(
    ("options", "level"), [({}, "INFO"), ({"warn": True}, "WARNING"), ({"exc_info": True}, "ERROR")]
)
def test_levels(caplog: pytest.LogCaptureFixture, options: dict[str, bool], level: str) -> None:
    """A warning asks for somebody, an error has a traceback."""
    with caplog.at_level(logging.INFO, "photogpt"):
        event("job.accepted", "accepted", job="job-1", **options)
    (seen,) = caplog.records
    assert (seen.levelname, seen.getMessage()) == (level, "accepted")
    assert (vars(seen)["event"], vars(seen)["fields"]) == ("job.accepted", {"job": "job-1"})
