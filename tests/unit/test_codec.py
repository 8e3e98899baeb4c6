"""The codec of records: a job and its outcome as fields of a Redis hash, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.running import keys
from tests.unit.factories import CREATED, make_job, success
from worker.domain.job import TERMINAL, Batch, Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, outcome
from worker.domain.reason import Reason
from worker.domain.submission import EVENT_TYPES
from worker.store import deliveries
from worker.store.codec import FIELDS, decode, decode_outcome, encode, encode_outcome, salvage

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(max_size=9), json_values, max_size=4)
times = st.integers(min_value=0, max_value=4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000)
jobs = st.builds(
    Job,
    id=st.text(min_size=1, max_size=40),
    kind=st.sampled_from(Kind),
    request=json_objects,
    metadata=st.none() | json_objects,
    webhook_url=st.none() | st.text(min_size=1, max_size=20),
    webhook_events=st.lists(st.sampled_from(sorted(EVENT_TYPES)), max_size=3).map(tuple),
    tenant=st.none() | st.text(min_size=1, max_size=20),
    idempotency_key=st.none() | st.text(min_size=1, max_size=20),
    result_meta=st.none() | json_objects,
    traceparent=st.none() | st.text(min_size=1, max_size=55),
    batch=st.none() | st.builds(Batch, id=st.text(min_size=1, max_size=20), total=st.integers(0, 9)),
    created_at=times,
    not_before=st.none() | times,
    expires_at=st.none() | times,
    deadline_at=times,
)
endings = st.builds(
    JobResult,
    state=st.sampled_from(sorted(TERMINAL)),
    reason=st.none() | st.sampled_from(Reason),
    error=st.none() | st.text(min_size=1, max_size=20),
    images=st.lists(json_objects, max_size=2).map(tuple),
    videos=st.lists(json_objects, max_size=2).map(tuple),
    model_id=st.none() | st.text(min_size=1, max_size=9),
    generation_id=st.none() | st.text(min_size=1, max_size=9),
)


def read(record: dict[str, str]) -> Job:
    """Return the job in a record, read in the form in which claim.lua returns it."""
    return decode([record.get(name) for name in FIELDS])


@given(jobs)
def test_a_job_is_read_back(job: Job) -> None:
    """Every field of a job that a producer decides is read back from its record, times to the millisecond."""
    assert read(encode(job)) == job


@given(jobs)
def test_a_hash_holds_text_only(job: Job) -> None:
    """The record of a job has texts only, and no field for a value that is absent."""
    assert all(isinstance(value, str) for value in encode(job).values())


@given(job=jobs, ending=endings, at=times.filter(bool))
def test_an_outcome_is_read_back(job: Job, ending: JobResult, at: float) -> None:
    """The outcome that is read from a record equals the one that was published."""
    final = outcome(job, ending, at=at)
    assert decode_outcome(encode(job) | encode_outcome(final)) == final


@given(jobs)
def test_an_outcome_so_far_is_read_back(job: Job) -> None:
    """Before its end a job's record gives the same outcome as the job."""
    assert decode_outcome(encode(job)) == outcome(job)


def test_fields_of_scripts_are_read() -> None:
    """A job is read with the fields that only Lua scripts write: state, attempts, polls, intent, generation, error."""
    added = {
        "state": "running",
        "duplicate_of": "job-0",
        "submitted_at": "2027-01-15T08:00:01.000Z",
        "intent_at": "1800000000.250",
        "attempts": "2",
        "polls": "7",
        "generation_id": "g-1",
        "model_fingerprint_before": '["ready",null]',
        "reason": "rate_limited",
        "error": "PhotoGPT says 429: slow down",
    }
    job = read(encode(make_job()) | added)
    assert (job.state, job.duplicate_of, job.submitted_at) == (JobState.RUNNING, "job-0", CREATED + 1)
    assert (job.intent_at, job.attempts, job.polls) == (CREATED + 0.25, 2, 7)
    assert (job.generation_id, job.model_fingerprint_before) == ("g-1", '["ready",null]')
    assert (job.reason, job.error) == (Reason.RATE_LIMITED, "PhotoGPT says 429: slow down")


@pytest.mark.parametrize("missing", ["id", "kind", "state", "request", "created_at", "deadline_at"])
def test_an_incomplete_record_is_refused(missing: str) -> None:
    """A record without a required field raises one of the two errors that a lane counts as a fault of the job."""
    record = encode(make_job())
    del record[missing]
    with pytest.raises((ValueError, KeyError)):
        read(record)


@pytest.mark.parametrize(
    "wrong", [{"kind": "song"}, {"state": "paused"}, {"request": "{"}, {"created_at": "x"}, {"reason": "luck"}]
)
def test_a_record_with_a_wrong_value_is_refused(wrong: dict[str, str]) -> None:
    """A record with a value that its field cannot have raises the same errors."""
    with pytest.raises((ValueError, KeyError)):
        read(encode(make_job()) | wrong)


def test_the_first_field_is_never_absent() -> None:
    """The first field of jobs and deliveries is the id, by whose absence claim.lua knows that a record has expired."""
    assert FIELDS[0] == deliveries.FIELDS[0] == "id"


def test_retryable_is_three_valued() -> None:
    """`retryable` is read back as true, false, or null for a job without a reason."""
    for reason, expected in ((Reason.UNAVAILABLE, True), (Reason.REFUSED, False), (None, None)):
        final = outcome(make_job(), JobResult(state=JobState.FAILED, reason=reason), at=CREATED)
        assert decode_outcome(encode(make_job()) | encode_outcome(final))["retryable"] is expected


def test_photogpts_records_pass_whole() -> None:
    """PhotoGPT's records of outputs are read back unchanged, unknown fields and unusual text included."""
    image: dict[str, Any] = {"id": "i", "meta": {"ü": [1.5, None, True]}, "note": 'quote " and \\ and \N{SNOWMAN}'}
    final = outcome(make_job(), success(images=(image,)), at=CREATED)
    assert decode_outcome(encode(make_job()) | encode_outcome(final))["images"] == [image]


odd_ids = st.text(alphabet="a}{:", max_size=8)


@given(first=odd_ids, second=odd_ids)
def test_foreign_ids_collide_with_nothing(first: str, second: str) -> None:
    """Braces and colons in a task id, a delivery id or an idempotency key lead to no other key."""
    of_a_job = (keys.job, keys.events, keys.duplicates, keys.deliveries)
    makers = (*of_a_job, keys.delivery, keys.idempotency)
    names = [(make, each, make(each)) for make in makers for each in {first, second}]
    assert len({name for *_, name in names}) == len(names)
    fixed = {keys.all_events, keys.intents, keys.generations, *map(keys.lane, Lane), *map(keys.loop, Lane)}
    assert not fixed & {name for *_, name in names}


@given(st.text(max_size=5))
def test_a_jobs_own_keys_share_a_slot(name: str) -> None:
    """All keys of one job have the same hash tag, which is the first pair of braces."""
    tags = {key(name).partition("{")[2].partition("}")[0] for key in (keys.job, keys.events, keys.duplicates)}
    assert len(tags) == 1


@pytest.mark.parametrize(("stored", "result"), [(None, None), ("{}", {}), ('{"group_id":"g"}', {}), ("{", {})])
def test_a_damaged_record_says_who_stores_the_celery_result(stored: str | None, result: object) -> None:
    """A damaged record still says who stores the Celery result: the script with `{}`, a continuation with None."""
    values = [stored if name == "result_meta" else None for name in FIELDS]
    assert salvage(values, at=CREATED).result_meta == result
