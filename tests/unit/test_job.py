"""The shape of the outcome, and the meaning of states and reasons."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.unit.factories import CREATED, make_job, success
from worker.domain.job import SEQUENCE, TASKS, TERMINAL, JobState, Kind
from worker.domain.outcome import JobResult, as_error, canceled, expired, outcome
from worker.domain.reason import Reason
from worker.domain.times import epoch, rfc3339

SHAPE = [
    "id",
    "kind",
    "state",
    "reason",
    "error",
    "retryable",
    "generation_id",
    "model_id",
    "images",
    "videos",
    "files",
    "files_error",
    "metadata",
    "created_at",
    "submitted_at",
    "finished_at",
    "polls",
]

RETRYABLE = {
    Reason.INVALID_REQUEST: False,
    Reason.IDEMPOTENCY_CONFLICT: False,
    Reason.UNAUTHORIZED: True,
    Reason.INSUFFICIENT_CREDITS: False,
    Reason.REFUSED: False,
    Reason.NOT_FOUND: False,
    Reason.CONFLICT: True,
    Reason.RATE_LIMITED: True,
    Reason.UNAVAILABLE: True,
    Reason.TRIGGER_UNCERTAIN: False,
    Reason.GENERATION_FAILED: False,
    Reason.CANCELED: False,
    Reason.SCHEDULED: False,
    Reason.STORING: False,
    Reason.INTERNAL_ERROR: True,
}


def test_the_shape_is_what_other_services_depend_on() -> None:
    """An outcome has the same fields in the same order before and after the end."""
    assert list(outcome(make_job())) == SHAPE
    assert list(outcome(make_job(), success(), at=CREATED + 9)) == SHAPE


def test_an_outcome_so_far() -> None:
    """The outcome of a job under way has no time of its end and no outputs."""
    seen = outcome(make_job(metadata={"order": 7}))
    assert (seen["state"], seen["finished_at"], seen["retryable"], seen["submitted_at"]) == ("queued", None, None, None)
    assert (seen["images"], seen["videos"], seen["metadata"]) == ([], [], {"order": 7})
    assert seen["created_at"] == "2027-01-15T08:00:00.000Z"


def test_a_final_outcome() -> None:
    """A final outcome holds the outputs as PhotoGPT gave them, and no earlier error."""
    job = make_job(submitted_at=CREATED + 1, generation_id="g-1", polls=3, reason=Reason.UNAVAILABLE, error="HTTP 503")
    seen = outcome(job, success(), at=CREATED + 9.5)
    assert seen["images"] == [{"id": "image-1", "url": "https://cdn/1.png"}]
    assert (seen["submitted_at"], seen["finished_at"]) == ("2027-01-15T08:00:01.000Z", "2027-01-15T08:00:09.500Z")
    assert (seen["reason"], seen["error"], seen["retryable"], seen["polls"]) == (None, None, None, 3)
    assert (seen["generation_id"], seen["model_id"]) == ("g-1", "nanobanana")


def test_the_result_names_model_and_generation() -> None:
    """The model and generation of the result replace those of the job."""
    seen = outcome(make_job(), success(model_id="m-2", generation_id="g-9"), at=CREATED)
    assert (seen["model_id"], seen["generation_id"]) == ("m-2", "g-9")


@pytest.mark.parametrize(("value", "expected"), [("m", "m"), (5, None), (None, None), (["m"], None)])
def test_a_model_that_is_no_text_is_none(value: object, expected: str | None) -> None:
    """A model id that is not a text counts as none."""
    assert make_job(request={"modelID": value}).model_id == expected


@pytest.mark.parametrize("reason", Reason)
def test_retryable_table(reason: Reason) -> None:
    """Only reasons without a possible second payment are retryable."""
    if reason is Reason.DEADLINE_EXCEEDED:
        assert not reason.retryable
        return
    result = JobResult(state=JobState.FAILED, reason=reason, error="x")
    assert outcome(make_job(), result, at=CREATED)["retryable"] is RETRYABLE[reason]


@pytest.mark.parametrize(
    ("generation_id", "intent_at", "submitted_at", "expected"),
    [
        (None, None, None, True),
        ("g-1", None, CREATED + 1, False),
        (None, CREATED + 1, None, False),
        (None, None, CREATED + 1, False),
    ],
)
def test_an_expired_job_is_retryable_if_nothing_can_have_been_paid(
    generation_id: str | None, intent_at: float | None, submitted_at: float | None, *, expected: bool
) -> None:
    """An expired job is retryable only if PhotoGPT was never asked, a training included."""
    job = make_job(Kind.TRAINING, generation_id=generation_id, intent_at=intent_at, submitted_at=submitted_at)
    result = JobResult(state=JobState.EXPIRED, reason=Reason.DEADLINE_EXCEEDED, error="x")
    assert outcome(job, result, at=CREATED)["retryable"] is expected


@pytest.mark.parametrize(
    ("progress", "of_expired", "of_canceled"),
    [
        ({}, "PhotoGPT started nothing, so nothing is charged", "nothing is charged"),
        ({"intent_at": CREATED}, "a generation may exist and be charged", "it may go on there and be charged"),
        ({"generation_id": "g-1"}, "its generation g-1 may go on and be charged", "goes on and is charged"),
        ({"submitted_at": CREATED}, "its training may go on and be charged", "goes on and is charged"),
    ],
)
def test_an_early_end_says_what_may_be_charged(progress: dict[str, Any], of_expired: str, of_canceled: str) -> None:
    """The error of an expired and of a canceled job says whether PhotoGPT may charge for it."""
    job = make_job(**progress)
    assert str(expired(job).error).endswith(of_expired)
    assert str(canceled(job).error).endswith(of_canceled)


def test_an_expired_job_names_what_it_waited_for() -> None:
    """The error of an expired job quotes PhotoGPT's last status and the last error, where there was one."""
    job = make_job(generation_id="g-1", photogpt_status="moderated", error="HTTP 503")
    assert "; PhotoGPT's last status was 'moderated'; last error: HTTP 503" in str(expired(job).error)


@pytest.mark.parametrize("state", sorted(TERMINAL - {JobState.SUCCEEDED}))
def test_the_error_for_a_producer_starts_with_the_reason(state: JobState) -> None:
    """A job that did not succeed raises an error that starts with its reason; one that succeeded raises none."""
    result = JobResult(state=state, reason=Reason.REFUSED, error="no")
    assert str(as_error(outcome(make_job(), result, at=CREATED))) == "refused: no"
    assert as_error(outcome(make_job(), success(), at=CREATED)) is None


def test_states_and_their_order() -> None:
    """Every state has a sequence number, and all final states share the highest one."""
    assert set(SEQUENCE) == set(JobState)
    assert {state for state in JobState if state.terminal} == TERMINAL
    assert {SEQUENCE[state] for state in TERMINAL} == {max(SEQUENCE.values())}
    assert SEQUENCE[JobState.QUEUED] < SEQUENCE[JobState.SUBMITTED] < SEQUENCE[JobState.RUNNING]


def test_task_names_are_the_contract() -> None:
    """The four task names are the contract with producers."""
    assert TASKS == {
        Kind.IMAGE: "photogpt.generate_image",
        Kind.UPSCALE: "photogpt.upscale_image",
        Kind.VIDEO: "photogpt.generate_video",
        Kind.TRAINING: "photogpt.train_model",
    }


@pytest.mark.parametrize("seconds", [0.0, 1.5, CREATED, CREATED + 0.001, CREATED + 0.999])
def test_times_survive_as_text(seconds: float) -> None:
    """A time survives as text to the millisecond."""
    assert epoch(rfc3339(seconds)) == pytest.approx(seconds, abs=0.0005)
    assert rfc3339(seconds).endswith("Z")


def test_reason_values_are_unique_words() -> None:
    """Every reason is a lower-case word or several joined by underscores."""
    assert all(reason.value.replace("_", "").isalpha() and reason.value.islower() for reason in Reason)


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is UTC, whatever the time zone of the host is."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert epoch("2027-01-15T08:00:00.000") == epoch("2027-01-15T08:00:00.000Z")
        assert epoch("2027-01-15T13:30:00+05:30") == epoch("2027-01-15T08:00:00Z")
    finally:
        monkeypatch.undo()
        time.tzset()
