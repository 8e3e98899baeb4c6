"""Logs are events with fields, one on a line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest

from worker.telemetry.logs import JsonFormatter, TextFormatter, event
from worker.telemetry.outage import Outage


def record(message: str = "accepted", **fields: Any) -> logging.LogRecord:
    """Return a log record like those of `event`."""
    made = logging.LogRecord("photogpt", logging.WARNING, __file__, 1, message, None, None)
    made.event, made.fields = "job.accepted", fields
    return made


def test_text_is_one_line_with_event_and_fields() -> None:
    """A text line has time, level, event, message and fields, without fields that are None."""
    line = TextFormatter().format(record(job="job-1", lane=None, tries=3))
    assert line.split()[2:] == ["WARNING", "job.accepted", "accepted", "[job=job-1", "tries=3]"]


def test_json_is_one_object_with_the_fields_beside() -> None:
    """A JSON line is one object with the fields beside the message."""
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
def test_no_text_forges_a_line(formatter: logging.Formatter, text: str) -> None:
    """A line break or a terminal code in an id or an error text does not start a new log line."""
    for line in (formatter.format(record(job=text)), formatter.format(record(text))):
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line


def test_json_takes_what_json_does_not_know() -> None:
    """A field that is not JSON is logged as text instead of raising."""
    entry = json.loads(JsonFormatter().format(record(at={1, 2}, error=ValueError("x"))))
    assert entry["error"] == "x"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_lines_of_others_are_formatted_too(formatter: logging.Formatter) -> None:
    """Records of other libraries, which have no event, are formatted too."""
    other = logging.LogRecord("celery.worker", logging.INFO, __file__, 1, "%s ready", ("w1",), None)
    assert "celery.worker" in formatter.format(other)
    assert "w1 ready" in formatter.format(other)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_traceback_is_kept(formatter: logging.Formatter) -> None:
    """A traceback stands below a text line, and in a field of a JSON line."""
    made = record()
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        made.exc_info = sys.exc_info()
    assert "RuntimeError: boom" in formatter.format(made)


@pytest.mark.parametrize(
    ("options", "level"),
    [({}, "INFO"), ({"warn": True}, "WARNING"), ({"severe": True}, "ERROR"), ({"exc_info": True}, "ERROR")],
)
def test_levels(caplog: pytest.LogCaptureFixture, options: dict[str, bool], level: str) -> None:
    """An event is logged as info, as a warning, or with a traceback as an error."""
    with caplog.at_level(logging.INFO, "photogpt"):
        event("job.accepted", "accepted", job="job-1", **options)
    (seen,) = caplog.records
    assert (seen.levelname, seen.getMessage()) == (level, "accepted")
    assert (vars(seen)["event"], vars(seen)["fields"]) == ("job.accepted", {"job": "job-1"})


def make_outage(**options: Any) -> Outage:
    """Return an outage of Redis."""
    return Outage(
        "redis.unavailable", "redis.recovered", message="Redis is unavailable", recovered="Redis is back", **options
    )


def test_an_outage_is_logged_once_at_each_end(caplog: pytest.LogCaptureFixture) -> None:
    """Many reports of one outage give one line, and its end gives one line with the duration."""
    caplog.set_level(logging.INFO, "photogpt")
    outage = make_outage(lane="jobs")
    outage.resolve()
    for _ in range(3):
        outage.report("refused")
    assert outage.active
    outage.resolve()
    outage.resolve()
    assert not outage.active
    assert [vars(line)["event"] for line in caplog.records] == ["redis.unavailable", "redis.recovered"]
    assert [line.getMessage() for line in caplog.records] == [
        "Redis is unavailable: refused",
        "Redis is back after 0 s",
    ]
    assert vars(caplog.records[1])["fields"] == {"outage_s": 0, "lane": "jobs"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of outages, which a test moves: `at` in seconds."""
    moved = SimpleNamespace(at=1000.0)
    monkeypatch.setattr("worker.telemetry.outage.time", SimpleNamespace(monotonic=lambda: moved.at))
    return moved


def test_an_outage_is_reminded_of_once_a_minute(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """Reminders of an outage, and its end, say for how long it has lasted."""
    caplog.set_level(logging.INFO, "photogpt")
    outage = make_outage()
    lasted = []
    for clock.at in (1000.0, 1059.9, 1060.0):
        outage.report("refused")
        lasted.append(outage.lasts_s)
    clock.at = 1075.0
    outage.resolve()
    assert lasted == pytest.approx([0, 59.9, 60])
    assert outage.lasts_s == 0
    assert [vars(line)["fields"]["outage_s"] for line in caplog.records] == [None, 60, 75]


def test_an_outage_that_must_be_quiet_first(clock: SimpleNamespace) -> None:
    """With `quiet_s`, a success ends an outage only if no failure was reported for so long."""
    outage = make_outage(quiet_s=10)
    outage.report("refused")
    active = []
    for clock.at in (1009.9, 1010.0):
        outage.resolve()
        active.append(outage.active)
    assert active == [True, False]


@pytest.mark.parametrize(("style", "start"), [("text", "2"), ("json", "{")])
def test_a_process_logs_in_one_style(style: str, start: str) -> None:
    """A process writes its events in the style of the setting to standard error, and no chatter of libraries."""
    code = f"""
import logging
from worker.telemetry.logs import configure_logs, event
configure_logs("INFO", {style!r})
event("job.accepted", "the job waits", job="1")
for name in ("kombu", "celery", "redis", "urllib3"):
    logging.getLogger(name).info("chatter")
logging.getLogger("urllib3").warning("a connection is tried again")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    assert line.startswith(start)
    assert "job.accepted" in line


class Both(AbstractContextManager[None]):
    """A lock that two threads have to wait for before one gets it."""

    def __init__(self) -> None:
        """Wait for two."""
        self._come, self._lock = threading.Barrier(2), threading.Lock()

    def __enter__(self) -> None:
        """Wait for the other thread, then for the lock."""
        self._come.wait(5)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self._lock.release()


def test_an_outage_ends_once(caplog: pytest.LogCaptureFixture) -> None:
    """Of two threads that notice the end of an outage together, one logs it."""
    outage = make_outage()
    outage.report("refused")
    outage._lock = Both()  # type: ignore[assignment]
    caplog.clear()
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: outage.resolve(), range(2)))
    assert [each.message for each in caplog.records] == ["Redis is back after 0 s"]
