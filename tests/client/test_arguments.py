"""What the client refuses before anything is sent, beside what the service refuses."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from photogpt_client import InvalidJob, NewJob, image
from photogpt_client.new_jobs import cancellation, entry_of
from photogpt_client.outcomes import read_batch, read_outcome
from tests.golden import golden
from worker.domain.errors import SubmissionError
from worker.domain.inbox_entry import JobEntry, parse_entry
from worker.domain.submission import SubmissionLimits, parse_submission

LIMITS = SubmissionLimits(metadata_max_bytes=4096)
GOOD = {"modelID": "nanobanana", "prompt": "Dawn"}
VIDEO = {"modelID": "veo-3.1", "prompt": "Dawn"}
NESTED: Any = []
for _ in range(120):
    NESTED = [NESTED]

REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    ("image", {"modelID": "nanobanana"}, "prompt"),
    ("image", {"modelID": 7, "prompt": "Dawn"}, "modelID"),
    ("image", {**GOOD, "prompt": ""}, "prompt"),
    ("image", {**GOOD, "prompt": "\ud800"}, "prompt"),
    ("image", {**GOOD, "numImages": "2"}, "numImages"),
    ("image", {**GOOD, "numImages": True}, "numImages"),
    ("image", {**GOOD, "numImages": 0}, "numImages"),
    ("image", {**GOOD, "referenceImageURLs": "https://example.com/a.png"}, "referenceImageURLs"),
    ("image", {**GOOD, "referenceImageURLs": ["https://example.com/a.png"] * 4}, "referenceImageURLs"),
    ("image", {**GOOD, "referenceImageURLs": [7]}, "referenceImageURLs.0"),
    ("image", {**GOOD, "options": {"a": float("nan")}}, "options.a"),
    ("image", {**GOOD, "options": {"a": b"bytes"}}, "options.a"),
    ("image", {"modelID": "model_1", "steps": 1.5}, "steps"),
    ("upscale", {}, "imageID"),
    ("upscale", {"imageID": None}, "imageID"),
    ("video", {"modelID": "veo-3.1"}, "prompt"),
    ("video", {**VIDEO, "options": {"veo": {"duration": 5}}}, "options.veo.duration"),
    ("video", {**VIDEO, "options": []}, "options"),
    ("training", {"modelID": ""}, "modelID"),
    ("image", {**GOOD, "webhook_url": "ftp://example.com"}, "webhook_url"),
    ("image", {**GOOD, "webhook_url": "https://user:secret@example.com"}, "webhook_url"),
    ("image", {**GOOD, "webhook_url": 7}, "webhook_url"),
    ("image", {**GOOD, "webhook_events": ["job.done"]}, "webhook_events.0"),
    ("image", {**GOOD, "metadata": {"a": {1, 2}}}, "metadata.a"),
    ("image", {**GOOD, "metadata": {"a": NESTED}}, "metadata"),
    ("image", {**GOOD, "metadata": ["a"]}, "metadata"),
    ("image", {**GOOD, "deadline_s": 0}, "deadline_s"),
    ("image", {**GOOD, "deadline_s": "600"}, "deadline_s"),
    ("image", {**GOOD, "deadline_s": float("inf")}, "deadline_s"),
    ("image", {**GOOD, "deadline_s": 8 * 86_400}, "deadline_s"),
    ("image", {**GOOD, "delay_s": -1}, "delay_s"),
    ("image", {**GOOD, "not_before": "tomorrow"}, "not_before"),
    ("image", {**GOOD, "not_before": []}, "not_before"),
    ("image", {**GOOD, "idempotency_key": ""}, "idempotency_key"),
    ("image", {**GOOD, "tenant": "t" * 101}, "tenant"),
    ("image", {**GOOD, "priority": 3}, "priority"),
    ("image", {**GOOD, "prompt": "x" * 260_000}, "request"),
]


@pytest.mark.parametrize(("kind", "given", "field"), REFUSED, ids=lambda value: str(value)[:40])
def test_wrong_arguments_are_refused(kind: Any, given: dict[str, Any], field: str) -> None:
    """The client names the argument that it refuses and never its content, and the service refuses the same job."""
    with pytest.raises(InvalidJob) as refused:
        entry_of(NewJob(kind, given))
    assert refused.value.field == field
    assert "secret" not in str(refused.value)
    options = ("webhook_", "metadata", "deadline", "delay", "not_", "idempotency", "tenant", "priority")
    kwargs = {name: value for name, value in given.items() if name.startswith(options)}
    request = {name: value for name, value in given.items() if name not in kwargs}
    with pytest.raises(SubmissionError):
        parse_submission(kind, [], {"request": request, **kwargs}, LIMITS)


def test_the_client_refuses_times_and_ids_before_the_service() -> None:
    """A datetime without a zone, milliseconds, a date too far ahead and an id that is no text are refused."""
    local = datetime(2026, 12, 24, 18)  # noqa: DTZ001 - the case
    times = [("not_before", value) for value in (local, time.time() * 1000, "2999-01-01T00:00:00Z", 10**400)]
    for name, value in (*times, ("id", 7), ("id", "")):
        with pytest.raises(InvalidJob) as refused:
            entry_of(NewJob("image", {**GOOD, name: value}))
        assert refused.value.field == name


def test_an_id_may_have_255_characters() -> None:
    """An id of 255 characters is sent as it is, and a longer one is refused."""
    assert entry_of(NewJob("image", {**GOOD, "id": "x" * 255})).job_id == "x" * 255
    with pytest.raises(InvalidJob, match="id: "):
        entry_of(NewJob("image", {**GOOD, "id": "x" * 256}))


WRITTEN = [case for case in golden("inbox/entries") if "id" in case["entry"]]
"""The client always gives an id, and cancels by a method."""


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case["name"])
def test_the_golden_entries_can_be_made(case: dict[str, Any]) -> None:
    """The package writes each entry of the contract's examples, from typed arguments."""
    entry = {name: value for name, value in case["entry"].items() if value is not None}
    left = {name: entry[name] for name in entry.keys() - {"v", "kind", "request", "batch", "traceparent"}}
    batch = (entry["batch"]["id"], entry["batch"]["total"]) if "batch" in entry else None
    made = json.loads(entry_of(NewJob(entry["kind"], entry["request"] | left), batch=batch).text)
    assert made == {name: value for name, value in entry.items() if name != "traceparent"}


def test_the_service_reads_what_the_package_writes() -> None:
    """An entry with every argument is valid for the service, and values with one text form become that text."""
    job = image(
        modelID="nanobanana",
        prompt="Dawn",
        numImages=2,
        id=UUID(int=7),
        webhook_url="https://example.com/hook",
        webhook_events=["job.running", "job.stored"],
        metadata={"at": datetime(2026, 12, 24, tzinfo=UTC), "price": Decimal("1.10")},
        deadline_s=600,
        not_before=datetime(2026, 12, 24, 18, tzinfo=UTC),
        delay_s=1.5,
        idempotency_key="order-17",
        tenant="shop",
        extra={"newField": [1]},
    )
    read = parse_entry("1-1", {"job": entry_of(job, batch=("b1", 3)).text})
    assert isinstance(read, JobEntry)
    assert (read.id, read.problem, read.batch and read.batch.total) == (str(UUID(int=7)), "", 3)
    submission = parse_submission(read.kind, [], read.arguments, LIMITS)
    assert submission.request == {"modelID": "nanobanana", "prompt": "Dawn", "numImages": 2, "newField": [1]}
    assert submission.metadata == {"at": "2026-12-24T00:00:00+00:00", "price": "1.10"}
    assert submission.not_before == "2026-12-24T18:00:00+00:00"


def test_the_golden_cancellation_and_outcomes() -> None:
    """The package cancels with the entry of the contract, and reads its records."""
    cancel = golden("inbox/entries")[-1]["entry"]
    assert json.loads(cancellation(cancel["job_id"]).text) == cancel
    for name in ("succeeded", "failed"):
        files = golden(f"outcomes/{name}")
        assert read_outcome(files["record"]) == files["outcome"]
    files = golden("outcomes/batch")
    assert read_batch(files["record"]) == json.loads(files["event"]["data"])
