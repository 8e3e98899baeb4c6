"""A job as a hash, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.running import keys
from tests.unit.factories import CREATED, REQUESTS, make_job, success
from worker.domain.job import TERMINAL, Job, JobState, Kind
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
    idempotency_key=st.none() | st.text(min_size=1, max_size=20),
    created_at=times,
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
    """Read it as claim.lua hands it out."""
    return decode([record.get(name) for name in FIELDS])


@given(jobs)
def test_a_job_survives_the_ledger(job: Job) -> None:
    """Every field that a producer decides, to the millisecond."""
    assert read(encode(job)) == job


@given(jobs)
def test_a_hash_holds_text_only(job: Job) -> None:
    """And nothing that is absent."""
    assert all(isinstance(value, str) for value in encode(job).values())


@given(job=jobs, ending=endings, at=times.filter(bool))
def test_an_outcome_survives_the_ledger(job: Job, ending: JobResult, at: float) -> None:
    """What is read from the record is what was published, `polls` apart, which the ledger counts."""
    final = outcome(job, ending, at=at)
    assert decode_outcome(encode(job) | encode_outcome(final)) == final


@given(jobs)
def test_an_outcome_so_far_survives_too(job: Job) -> None:
    """Before the end there is one shape as well."""
    assert decode_outcome(encode(job)) == outcome(job)


def test_what_the_line_adds_is_read() -> None:
    """Fields that only scripts write."""
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
def test_a_record_that_is_not_ours_is_refused(missing: str) -> None:
    """Loudly, with the two errors that the tick knows."""
    record = encode(make_job())
    del record[missing]
    with pytest.raises((ValueError, KeyError)):
        read(record)


@pytest.mark.parametrize(
    "wrong", [{"kind": "song"}, {"state": "paused"}, {"request": "{"}, {"created_at": "x"}, {"reason": "luck"}]
)
def test_a_record_with_a_wrong_value_is_refused(wrong: dict[str, str]) -> None:
    """As one that misses it."""
    with pytest.raises((ValueError, KeyError)):
        read(encode(make_job()) | wrong)


def test_the_first_field_is_never_absent() -> None:
    """claim.lua takes a record without it for ended."""
    assert FIELDS[0] == deliveries.FIELDS[0] == "id"


def test_retryable_is_three_valued() -> None:
    """Yes, no, and not said."""
    for reason, expected in ((Reason.UNAVAILABLE, True), (Reason.REFUSED, False), (None, None)):
        final = outcome(make_job(), JobResult(state=JobState.FAILED, reason=reason), at=CREATED)
        assert decode_outcome(encode(make_job()) | encode_outcome(final))["retryable"] is expected


def test_photogpts_records_pass_whole() -> None:
    """Unknown fields and odd text in outputs come out as they came in."""
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


@given(st.sampled_from(sorted(REQUESTS)), st.text(max_size=5))
def test_a_jobs_own_keys_share_a_slot(kind: Kind, name: str) -> None:
    """The first pair of braces is the hash tag."""
    del kind
    tags = {key(name).partition("{")[2].partition("}")[0] for key in (keys.job, keys.events, keys.duplicates)}
    assert len(tags) == 1


@pytest.mark.parametrize(("stored", "result"), [(None, None), ("{}", {}), ('{"group_id":"g"}', {}), ("{", {})])
def test_a_saved_record_says_how_celery_hears_of_its_end(stored: str | None, result: object) -> None:
    """By a message where a canvas hangs on it, which the record then holds; else by the script."""
    values = [stored if name == "result_meta" else None for name in FIELDS]
    assert salvage(values, at=CREATED).result_meta == result
