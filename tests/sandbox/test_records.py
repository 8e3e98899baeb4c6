"""Statuses as a pure function of record and time, directives, and the rate limit."""

import math
from dataclasses import replace

import pytest

from worker.sandbox.faults.directives import NO_DIRECTIVE, Directive, parse_directive
from worker.sandbox.faults.limits import TokenBucket
from worker.sandbox.state.records import (
    Generation,
    Kind,
    Model,
    ended_at,
    job_stage_at,
    model_stage_at,
    stage_at,
)


def generation_of(kind: Kind, directive: Directive, duration_s: float = 100.0) -> Generation:
    """Return a generation created at second 1000."""
    stages = directive.stages(kind, duration_s)
    return Generation(id="job_1", kind=kind, created_at=1000.0, stages=stages, endless=directive.endless)


@pytest.mark.parametrize(
    ("after_s", "status", "since"),
    [(0, "created", 1000), (5, "queued", 1005), (19.9, "queued", 1005), (20, "running", 1020), (100, "success", 1100)],
)
def test_a_generation_passes_through_the_documented_statuses(after_s: float, status: str, since: float) -> None:
    """A generation shows each status from its offset until the next one, and the last for ever."""
    assert stage_at(generation_of("image", NO_DIRECTIVE), 1000 + after_s) == (since, status)


def test_a_time_before_creation_shows_the_first_status() -> None:
    """A time before the creation of a generation shows its first status."""
    assert stage_at(generation_of("image", NO_DIRECTIVE), 990)[1] == "created"


def test_directive_statuses_share_the_duration() -> None:
    """Three statuses of a directive take a third of the duration each, unchanged."""
    generation = generation_of("video", Directive(statuses=("QUEUED", "Warming", "RUNNING")), 30)
    assert [stage_at(generation, 1000 + t)[1] for t in (0, 10, 20, 30)] == ["QUEUED", "Warming", "RUNNING", "success"]


def test_an_endless_generation_never_ends() -> None:
    """An endless generation keeps its last unfinished status, and its end is infinite."""
    generation = generation_of("image", Directive(end="never"))
    assert stage_at(generation, 1e12)[1] == "running"
    assert ended_at(generation) == math.inf


@pytest.mark.parametrize(("end", "as_job"), [("ready", "success"), ("failed", "failed"), ("new", "failed")])
def test_a_training_has_two_vocabularies(end: str, as_job: str) -> None:
    """A training shows model statuses at the model and job statuses at the job."""
    training = generation_of("training", Directive(end=end))
    model = Model(id="m", status="new", created_at=1.0, updated_at=1.0, training_id="job_1")
    assert [model_stage_at(model, training, 1000 + t)[1] for t in (0, 50, 100)] == ["training", "processing", end]
    assert [job_stage_at(training, 1000 + t)[1] for t in (0, 50, 100)] == ["running", "running", as_job]


def test_a_model_without_training_has_the_status_it_was_given() -> None:
    """The status of a model without a training does not change with time."""
    model = Model(id="m", status="ready", created_at=1.0, updated_at=2.0)
    assert model_stage_at(model, None, 1e9) == (2.0, "ready")
    assert model_stage_at(replace(model, status="new"), None, 1e9) == (2.0, "new")


def test_a_directive_takes_defaults_from_another() -> None:
    """A caller's directive takes only the fields it leaves open from the fault's directive."""
    merged = Directive(duration_s=1.0).with_defaults(Directive(duration_s=9.0, error="NSFW"))
    assert (merged.duration_s, merged.error, merged.final_status("image")) == (1.0, "NSFW", "failed")


@pytest.mark.parametrize(
    "value", [{"duration": 3}, {"duration_s": -1}, {"statuses": []}, {"outputs": "two"}, "fast", [1]]
)
def test_an_invalid_directive_is_refused(value: object) -> None:
    """An invalid directive, such as one with a misspelt field, is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_directive(value)


def test_a_bucket_lets_the_rate_through() -> None:
    """A burst empties the token bucket, and time refills it up to one second's worth."""
    bucket = TokenBucket.full(2.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
