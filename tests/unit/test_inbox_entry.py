"""What an entry of the inbox means, by the golden files that producers are tested against too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden import golden
from worker.domain.errors import SubmissionError
from worker.domain.inbox_entry import CancelEntry, JobEntry, appended_at, named_batch, parse_entry
from worker.domain.job import Batch, Kind
from worker.domain.submission import SubmissionLimits, parse_submission

LIMITS = SubmissionLimits(metadata_max_bytes=16_384)
ENTRY_ID = "1764354000123-4"

ENTRIES = {each["name"]: each["entry"] for each in golden("inbox/entries")}
REFUSED = {each["name"]: each for each in golden("inbox/refused")}
OWN = {"v", "id", "kind", "batch", "traceparent"}


def parse(entry: Any) -> JobEntry | CancelEntry:
    """Parse an entry that a producer wrote as JSON."""
    return parse_entry(ENTRY_ID, {"job": json.dumps(entry)})


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "cancel"])
def test_an_entry_asks_for_a_job(name: str) -> None:
    """An entry gives the id, the kind and the arguments of a job; null means the same as left out."""
    entry = {field: value for field, value in ENTRIES[name].items() if value is not None}
    found = parse(ENTRIES[name])
    assert isinstance(found, JobEntry)
    assert (found.id, found.kind, found.problem) == (entry.get("id", f"inbox-{ENTRY_ID}"), Kind(entry["kind"]), "")
    assert found.arguments == {field: value for field, value in entry.items() if field not in OWN}


def test_an_entry_names_its_batch() -> None:
    """The batch of an entry has an id and a number of jobs."""
    found = parse(ENTRIES["every name that an entry may have"])
    assert isinstance(found, JobEntry)
    assert found.batch == Batch("b1", 3)


def test_an_entry_cancels() -> None:
    """An entry of the kind `cancel` names a job."""
    assert parse(ENTRIES["cancel"]) == CancelEntry(ENTRIES["cancel"]["job_id"])


@pytest.mark.parametrize("name", [name for name, each in REFUSED.items() if each["id"]])
def test_what_is_wrong_is_said_under_the_id(name: str) -> None:
    """An entry with a usable id is refused with the name of the field that is wrong."""
    case = REFUSED[name]
    found = parse_entry(ENTRY_ID, {"job": case["job"]})
    assert isinstance(found, JobEntry)
    assert found.id == case["id"].replace("{entry}", ENTRY_ID)
    problem = found.problem or refusal(found)
    assert problem.startswith(case["error"])


def refusal(found: JobEntry) -> str:
    """Return why the arguments of a job are refused."""
    with pytest.raises(SubmissionError) as refused:
        parse_submission(found.kind, [], found.arguments, LIMITS)
    return str(refused.value)


@pytest.mark.parametrize("name", [name for name, each in REFUSED.items() if not each["id"]])
def test_an_entry_without_a_usable_id_is_refused(name: str) -> None:
    """An entry that names no job is refused as a whole."""
    with pytest.raises(SubmissionError) as refused:
        parse_entry(ENTRY_ID, {"job": REFUSED[name]["job"]})
    assert str(refused.value).startswith(REFUSED[name]["error"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": "{}"},
        {"job": '{"id": "a", "request": "' + "x" * 4_000_000 + '"}'},
        {"job": '{"id": "\N{REPLACEMENT CHARACTER}"}'},
        {"job": '{"kind": "cancel", "job_id": "a"}', "more": "1"},
        {"job": "[" * 100_000},
        {"job": '{"id": "' + "x" * 256 + '"}'},
        {"job": '{"id": "\\ud800"}'},
        {"job": '{"id": 1' + "0" * 5000 + "}"},
    ],
)
def test_what_is_no_entry_is_refused(fields: dict[str, str]) -> None:
    """Other fields, too long a text, bytes that are no UTF-8, and JSON that no parser takes are refused."""
    with pytest.raises(SubmissionError, match=r"^(job|id): "):
        parse_entry(ENTRY_ID, fields)


def test_the_batch_of_a_refused_entry_is_kept() -> None:
    """An entry that is refused counts in the batch that it names, also where the rest of it cannot be used."""
    for given, batch in (
        ({"kind": "song", "batch": {"id": "b1", "total": 3}}, Batch("b1", 3)),
        ({"kind": "image", "batch": {"id": "b1", "total": "3"}}, Batch("b1", 0)),
        ({"kind": "image", "batch": {"id": "b1", "size": 3}}, Batch("b1", 0)),
        ({"kind": "image", "batch": {"id": "", "total": 3}}, None),
        ({"kind": "image", "batch": "b1"}, None),
    ):
        found = parse({"id": "a", **given})
        assert isinstance(found, JobEntry)
        assert (found.problem != "", found.batch) == (True, batch)
    text = json.dumps({"id": 7, "batch": {"id": "b1", "total": 3}})
    assert named_batch({"job": text, "more": "1"}) == Batch("b1", 3)
    for broken in (
        text[:-1],
        text + "}",
        f'{{"prompt": "\\"batch\\": {{}}", {text[1:-2]}}},',
        text[:-1] + "x" * 5_000_000,
    ):
        assert named_batch({"job": broken}) == Batch("b1", 3)
    for unnamed in ("hello", '{"batch": ', '{"batch": {"id": 7}', '{"batch": {"id": }', '"\\"batch\\": {\\"id\\": 1}'):
        assert named_batch({"job": unnamed}) is named_batch({}) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"job": '{"id": "a", "kind": "image", "request": {}}', "more": "1"},
        {"job": '{"id": "a", "kind": "image", "request": {"prompt": "' + "x" * 1_000_000 + '"}}'},
        {"job": '{"id": "a", "kind": "image", "request": {"prompt": "\N{REPLACEMENT CHARACTER}"}}'},
    ],
)
def test_a_job_whose_entry_is_unusable_ends_under_its_id(fields: dict[str, str]) -> None:
    """Beside another field, too long, or not in UTF-8, an entry is refused under the id that it names."""
    found = parse_entry(ENTRY_ID, fields)
    assert isinstance(found, JobEntry)
    assert (found.id, found.problem.startswith("job: ")) == ("a", True)


def test_the_id_of_an_entry_is_a_time() -> None:
    """Redis names an entry after the millisecond in which it was appended."""
    assert appended_at(ENTRY_ID) == 1764354000.123
