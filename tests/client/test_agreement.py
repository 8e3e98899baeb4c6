"""The client, the fake of its test kit and the service refuse the same jobs, whatever value an argument has."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from config.settings import Settings
from photogpt_client import InvalidJob, NewJob
from photogpt_client.new_jobs import entry_of
from photogpt_client.testing.fake import FakePhotoGPT
from tests.golden import golden
from worker.domain.errors import SubmissionError
from worker.domain.inbox_entry import JobEntry, parse_entry
from worker.domain.new_job import JobDefaults, new_job
from worker.domain.submission import parse_submission
from worker.steps.accept import submission_limits

BIG = 10**400
VALUES: list[Any] = [
    None, True, 0, -1, 2.5, BIG, 1e308, float("nan"), float("inf"),
    "", "x", "é\N{REPLACEMENT CHARACTER}", "\ud800", "\x00", "x" * 101, "x" * 256, "x" * 300_000, b"x",
    [], [7], ["job.queued"], ["nope"], ("job.queued",), ["https://example.com/a.png"] * 15,
    {}, {1: 2}, {"a": (1, 2)}, {"a": b"x"}, {"a": {1}}, {"a": float("nan")}, {"a": BIG}, {"a": "\ud800"}, {"\ud800": 1},
    {"a": "x" * 5000}, {"a": "é" * 2500}, {"__type__": "x", "__value__": 1}, {"a": {"__type__": "x", "__value__": 1}},
    "http://h:8080/", "https://h/", "HTTPS://H", "https://h:443/", "https://h:80", "https://h:0/", "https://h:abc",
    "https://[::1]/", "https://[::1", "https://u@h/", "//h", "https://hé.example/", "https://h/ x", "ftp://h", "https:///p",
    "https://" + "h" * 2050, "http://127.0.0.1/", "2026-12-24T18:00:00Z", "2026-12-24", "20261224T180000", "2026-W52-4",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2026-12-24t18:00:00z", "2026-12-24 18:00", "18:00",
    datetime.now(UTC), datetime(2020, 1, 1), date(2026, 1, 1), Decimal("1.10"), UUID(int=3),  # noqa: DTZ001 - a case
    time.time() + 1e9, time.time() * 1000, -1e18, 366 * 86_400, 366 * 86_400 + 1, 7 * 86_400, 7 * 86_400 + 0.5,
    {"veo": {"duration": 5}}, {"veo": {"duration": 6}}, {"veo": []}, {"veo": {"x": 1}}, {"kling": 1}, {"other": 1},
    {"prompt": 7}, {"modelID": 7}, {"steps": "x"},
]  # fmt: skip
OPTIONS = {
    "webhook_url", "webhook_events", "metadata", "deadline_s", "not_before", "delay_s", "idempotency_key", "tenant",
    "id",
}  # fmt: skip
FIELDS = {"prompt", "modelID", "imageID", "options", "numImages", "referenceImageURLs", "width", "seed", "extra"}
EXAMPLES = [each["entry"] for each in golden("inbox/entries") if "request" in each["entry"]]
JOBS = {entry["kind"]: entry["request"] for entry in reversed(EXAMPLES)}
DEFAULTS = JobDefaults(job_deadline_s=600, model_deadline_s=600)
LIMITS = submission_limits(Settings(_env_file=None))


def refusal(text: str) -> str:
    """Return why a worker with default settings refuses an entry of the package; '' if it accepts it."""
    entry = parse_entry("1-1", {"job": text})
    assert isinstance(entry, JobEntry)
    try:
        submission = parse_submission(entry.kind, [], entry.arguments, LIMITS)
        new_job(entry.id, entry.kind, submission, defaults=DEFAULTS, at=time.time())
    except SubmissionError as error:
        return str(error)
    return entry.problem


def refusal_of_fake(fake: FakePhotoGPT, text: str, job_id: str) -> str:
    """Return why the fake refuses an entry; '' if it accepts it."""
    fake.client.transport.append([text])
    outcome = fake.client.job(job_id).outcome()
    return str(outcome["error"]) if outcome["reason"] == "invalid_request" else ""


@pytest.mark.parametrize("kind", JOBS)
def test_what_the_client_sends_is_refused_by_both_or_by_none(kind: Any, photogpt_fake: FakePhotoGPT) -> None:
    """An argument of any value is refused before anything is sent, or by fake and worker in the same way."""
    photogpt_fake.automatic = False
    sent = 0
    for number, (name, value) in enumerate(itertools.product(sorted(OPTIONS | FIELDS), VALUES)):
        try:
            entry = entry_of(NewJob(kind, {**JOBS[kind], name: value}), default_id=f"job-{number}")
        except InvalidJob:
            continue
        sent += 1
        expected, found = refusal(entry.text), refusal_of_fake(photogpt_fake, entry.text, entry.job_id)
        assert found.partition(":")[0] == expected.partition(":")[0], (name, expected, found)
    assert sent > 100
