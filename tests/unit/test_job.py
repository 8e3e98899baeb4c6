"""The outcome's one shape, and what a state or reason says."""

from __future__ import annotations

import time

import pytest

from tests.unit.factories import CREATED, make_job, success
from worker.domain.job import SEQUENCE, TASKS, TERMINAL, JobState, Kind
from worker.domain.outcome import JobResult, outcome
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
    Reason.INTERNAL_ERROR: True,
}


def test_the_shape_is_what_other_services_depend_on() -> None:
    """Fields and their order, before and after the end."""
    assert list(outcome(make_job())) == SHAPE
    assert list(outcome(make_job(), success(), at=CREATED + 9)) == SHAPE


def test_an_outcome_so_far() -> None:
    """Nothing is claimed that has not happened."""
    told = outcome(make_job(metadata={"order": 7}))
    assert (told["state"], told["finished_at"], told["retryable"], told["submitted_at"]) == ("queued", None, None, None)
    assert (told["images"], told["videos"], told["metadata"]) == ([], [], {"order": 7})
    assert told["created_at"] == "2027-01-15T08:00:00.000Z"


def test_a_final_outcome() -> None:
    """The outputs come as PhotoGPT gave them."""
    job = make_job(submitted_at=CREATED + 1, generation_id="g-1", polls=3, reason=Reason.UNAVAILABLE, error="was away")
    told = outcome(job, success(), at=CREATED + 9.5)
    assert told["images"] == [{"id": "image-1", "url": "https://cdn/1.png"}]
    assert (told["submitted_at"], told["finished_at"]) == ("2027-01-15T08:00:01.000Z", "2027-01-15T08:00:09.500Z")
    assert (told["reason"], told["error"], told["retryable"], told["polls"]) == (None, None, None, 3)
    assert (told["generation_id"], told["model_id"]) == ("g-1", "nanobanana")


def test_photogpts_own_word_on_the_model_counts_most() -> None:
    """And a follower names the generation it shares."""
    told = outcome(make_job(), success(model_id="m-2", generation_id="g-9"), at=CREATED)
    assert (told["model_id"], told["generation_id"]) == ("m-2", "g-9")


@pytest.mark.parametrize(("value", "expected"), [("m", "m"), (5, None), (None, None), (["m"], None)])
def test_a_model_that_is_no_text_is_none(value: object, expected: str | None) -> None:
    """A refused request may hold anything."""
    assert make_job(request={"modelID": value}).model_id == expected


@pytest.mark.parametrize("reason", Reason)
def test_retryable_table(reason: Reason) -> None:
    """Enqueueing again must not let anybody pay twice for one wish."""
    if reason is Reason.DEADLINE_EXCEEDED:
        assert not reason.retryable
        return
    ending = JobResult(state=JobState.FAILED, reason=reason, error="x")
    assert outcome(make_job(), ending, at=CREATED)["retryable"] is RETRYABLE[reason]


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
    """A training has no generation id, yet its trigger was paid for."""
    job = make_job(Kind.TRAINING, generation_id=generation_id, intent_at=intent_at, submitted_at=submitted_at)
    ending = JobResult(state=JobState.EXPIRED, reason=Reason.DEADLINE_EXCEEDED, error="x")
    assert outcome(job, ending, at=CREATED)["retryable"] is expected


def test_states_and_their_order() -> None:
    """Every state has a place among the events; the ends share the last."""
    assert set(SEQUENCE) == set(JobState)
    assert {state for state in JobState if state.terminal} == TERMINAL
    assert {SEQUENCE[state] for state in TERMINAL} == {max(SEQUENCE.values())}
    assert SEQUENCE[JobState.QUEUED] < SEQUENCE[JobState.SUBMITTED] < SEQUENCE[JobState.RUNNING]


def test_task_names_are_the_contract() -> None:
    """Other services send them by name."""
    assert TASKS == {
        Kind.IMAGE: "photogpt.generate_image",
        Kind.UPSCALE: "photogpt.upscale_image",
        Kind.VIDEO: "photogpt.generate_video",
        Kind.TRAINING: "photogpt.train_model",
    }


@pytest.mark.parametrize("seconds", [0.0, 1.5, CREATED, CREATED + 0.001, CREATED + 0.999])
def test_times_survive_as_text(seconds: float) -> None:
    """To the millisecond."""
    assert epoch(rfc3339(seconds)) == pytest.approx(seconds, abs=0.0005)
    assert rfc3339(seconds).endswith("Z")


def test_reason_values_are_unique_words() -> None:
    """Producers compare them as text."""
    assert all(reason.value.replace("_", "").isalpha() and reason.value.islower() for reason in Reason)


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """PhotoGPT's documents show a zone and promise none; where this host stands must not decide what was paid for."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert epoch("2027-01-15T08:00:00.000") == epoch("2027-01-15T08:00:00.000Z")
        assert epoch("2027-01-15T13:30:00+05:30") == epoch("2027-01-15T08:00:00Z")
    finally:
        monkeypatch.undo()
        time.tzset()
