"""State as a pure function of record and time, and the wishes it is planned from."""

import math
from dataclasses import replace

import pytest

from worker.sandbox.limits import Bucket
from worker.sandbox.wishes import NO_DIRECTIVE, Wish, parse_directive
from worker.sandbox.world import (
    Generation,
    Kind,
    Model,
    ended_at,
    job_stage_at,
    model_stage_at,
    stage_at,
)


def planned(kind: Kind, wish: Wish, duration_s: float = 100.0) -> Generation:
    """A generation created at second 1000."""
    stages = wish.stages(kind, duration_s)
    return Generation(id="job_1", kind=kind, created_at=1000.0, stages=stages, endless=wish.endless)


@pytest.mark.parametrize(
    ("after_s", "status", "since"),
    [(0, "created", 1000), (5, "queued", 1005), (19.9, "queued", 1005), (20, "running", 1020), (100, "success", 1100)],
)
def test_a_generation_passes_through_the_documented_statuses(after_s: float, status: str, since: float) -> None:
    """Each status holds from its offset to the next, and the last for ever."""
    assert stage_at(planned("image", NO_DIRECTIVE), 1000 + after_s) == (since, status)


def test_a_time_before_creation_shows_the_first_status() -> None:
    """A list that lags can ask for a time before a generation was."""
    assert stage_at(planned("image", NO_DIRECTIVE), 990)[1] == "created"


def test_wished_statuses_share_the_duration() -> None:
    """Three statuses take a third each, as they are written."""
    generation = planned("video", Wish(statuses=("QUEUED", "Warming", "RUNNING")), 30)
    assert [stage_at(generation, 1000 + t)[1] for t in (0, 10, 20, 30)] == ["QUEUED", "Warming", "RUNNING", "success"]


def test_an_endless_generation_never_ends() -> None:
    """Its last unfinished status goes on, and its end is infinitely far."""
    generation = planned("image", Wish(end="never"))
    assert stage_at(generation, 1e12)[1] == "running"
    assert ended_at(generation) == math.inf


@pytest.mark.parametrize(("end", "as_job"), [("ready", "success"), ("failed", "failed"), ("new", "failed")])
def test_a_training_has_two_vocabularies(end: str, as_job: str) -> None:
    """The model tells its own words, the job those of a job."""
    training = planned("training", Wish(end=end))
    model = Model(id="m", status="new", created_at=1.0, updated_at=1.0, training_id="job_1")
    assert [model_stage_at(model, training, 1000 + t)[1] for t in (0, 50, 100)] == ["training", "processing", end]
    assert [job_stage_at(training, 1000 + t)[1] for t in (0, 50, 100)] == ["running", "running", as_job]


def test_a_model_without_training_has_the_status_it_was_given() -> None:
    """Nothing changes by time alone."""
    model = Model(id="m", status="ready", created_at=1.0, updated_at=2.0)
    assert model_stage_at(model, None, 1e9) == (2.0, "ready")
    assert model_stage_at(replace(model, status="new"), None, 1e9) == (2.0, "new")


def test_a_wish_fills_from_another() -> None:
    """What the caller says stands; what is left open comes from the fault."""
    merged = Wish(duration_s=1.0).over(Wish(duration_s=9.0, error="NSFW"))
    assert (merged.duration_s, merged.error, merged.ends_as("image")) == (1.0, "NSFW", "failed")


@pytest.mark.parametrize(
    "value", [{"duration": 3}, {"duration_s": -1}, {"statuses": []}, {"outputs": "two"}, "fast", [1]]
)
def test_what_is_no_wish_is_refused(value: object) -> None:
    """A misspelt wish is told, not ignored."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_directive(value)


def test_a_bucket_lets_the_rate_through() -> None:
    """A burst empties it, time fills it, and never above a second's worth."""
    bucket = Bucket.full(2.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
