"""Moving a job on: one step each, whoever repeats it."""

from __future__ import annotations

import json

import pytest

from tests.contract.store.conftest import Line
from tests.unit.factories import success
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import JobState, Kind
from worker.domain.reason import Reason
from worker.store import keys
from worker.store.keys import Lane

URL = "https://shop.example/hooks"


@pytest.mark.parametrize(("kind", "lane"), [(Kind.IMAGE, Lane.JOBS), (Kind.TRAINING, Lane.MODELS)])
def test_a_taken_job_waits_to_be_looked_at(line: Line, kind: Kind, lane: Lane) -> None:
    """Generations in one lane, models in another."""
    job = line.accepted(kind)
    assert line.store.jobs.record_intent(job)
    line.published()
    assert line.store.jobs.mark_submitted(job, Submitted(None if kind is Kind.TRAINING else "g-1"), poll_after=5)
    assert [tick.lane for tick in line.published()] == [lane]
    assert line.lanes_of(job.id) == {lane}
    assert 4 < line.due_in(lane, job.id) <= 5
    seen = line.read(job)
    assert seen.state is JobState.SUBMITTED
    assert seen.submitted_at == pytest.approx(line.store.clock(), abs=5)
    assert seen.generation_id == (None if kind is Kind.TRAINING else "g-1")


def test_a_repeated_yes_changes_nothing(line: Line) -> None:
    """One event, one timer, one generation."""
    job = line.accepted(webhook_url=URL, webhook_events=("job.submitted",))
    assert line.store.jobs.record_intent(job)
    for _ in range(3):
        line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert line.events(job) == ["job.queued", "job.submitted"]
    assert len(line.store.deliveries.of_job(job.id)) == 1
    assert line.lanes_of(job.id) == {Lane.JOBS}


def test_a_second_generation_does_not_replace_the_first(line: Line) -> None:
    """Yet it is remembered as ours: it exists."""
    job = line.submitted(generation="g-1")
    assert not line.store.jobs.mark_submitted(job, Submitted("g-2"), poll_after=5)
    assert line.read(job).generation_id == "g-1"
    assert line.store.jobs.unknown_generations(["g-1", "g-2"]) == []


def test_running_is_told_once(line: Line) -> None:
    """And counts the look that saw it."""
    job = line.submitted(webhook_url=URL, webhook_events=("job.running",))
    line.claimed(Lane.JOBS)
    assert line.store.jobs.mark_running(job, poll_after=5)
    assert not line.store.jobs.mark_running(job, poll_after=5)
    assert line.read(job).state is JobState.RUNNING
    assert line.events(job) == ["job.queued", "job.submitted", "job.running"]
    assert [found["type"] for found in line.store.deliveries.of_job(job.id)] == ["job.running"]


def test_a_job_runs_only_after_it_was_taken(line: Line) -> None:
    """No state is left out."""
    job = line.accepted()
    assert not line.store.jobs.mark_running(job, poll_after=5)
    assert line.read(job).state is JobState.QUEUED
    assert line.lanes_of(job.id) == {Lane.TRIGGERS}


@pytest.mark.parametrize("state", sorted(JobState))
def test_an_end_is_never_left(line: Line, state: JobState) -> None:
    """No late answer, of whatever kind, moves an ended job."""
    if not state.terminal:
        return
    job = line.submitted()
    line.finish(job, success(state=state, images=()))
    before = line.client.hgetall(keys.job(job.id))
    assert not line.store.jobs.mark_submitted(job, Submitted("g-9"), poll_after=1)
    assert not line.store.jobs.mark_running(job, poll_after=1)
    line.store.jobs.reschedule(
        Lane.JOBS, [(job, Reschedule(after=1, reason=Reason.UNAVAILABLE, error="x", polled=True))]
    )
    assert line.finish(job, success(), polled=True) is None
    assert not line.store.jobs.record_intent(job)
    assert line.client.hgetall(keys.job(job.id)) == before
    assert line.lanes_of(job.id) == {Lane.RESULTS}


def test_an_unknown_job_is_not_made(line: Line) -> None:
    """Its record ended while PhotoGPT was asked."""
    job = line.job()
    assert not line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=1)
    assert not line.store.jobs.mark_running(job, poll_after=1)
    assert line.finish(job, success()) is None
    assert line.store.jobs.get(job.id) is None


def test_a_postponed_job_comes_back_when_it_said(line: Line) -> None:
    """And tells what is in its way, until it is not."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    in_the_way = Reschedule(after=9, reason=Reason.UNAVAILABLE, error="PhotoGPT says 503", polled=True)
    line.store.jobs.reschedule(Lane.JOBS, [(job, in_the_way)])
    seen = line.read(job)
    assert (seen.reason, seen.error, seen.polls) == (Reason.UNAVAILABLE, "PhotoGPT says 503", 1)
    assert 8 < line.due_in(Lane.JOBS, job.id) <= 9
    line.store.jobs.reschedule(Lane.JOBS, [(job, Reschedule(after=9, polled=True))])
    assert (line.read(job).reason, line.read(job).error, line.read(job).polls) == (None, None, 2)


def test_many_are_postponed_at_once_each_for_itself(line: Line) -> None:
    """One script for a whole tick, one message for the soonest."""
    jobs = [line.submitted(generation=f"g-{number}") for number in range(3)]
    line.claimed(Lane.JOBS)
    line.published()
    line.store.jobs.reschedule(Lane.JOBS, [(job, Reschedule(after=5 + n)) for n, job in enumerate(jobs)])
    assert [round(line.due_in(Lane.JOBS, job.id)) for job in jobs] == [5, 6, 7]
    (tick,) = line.published()
    assert 4 < tick.delay <= 5
    line.store.jobs.reschedule(Lane.JOBS, [])
    assert line.published() == []


def test_a_job_that_left_its_lane_is_not_put_back(line: Line) -> None:
    """It was triggered by somebody else meanwhile."""
    job = line.submitted()
    line.published()
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.published() == []
    assert line.lanes_of(job.id) == {Lane.JOBS}


def test_what_is_published_on_the_way_is_what_is_stored(line: Line) -> None:
    """The webhook of an intermediate state shows the record."""
    job = line.submitted(webhook_url=URL, webhook_events=("job.submitted",), metadata={"order": 7})
    (delivery,) = line.store.deliveries.of_job(job.id)
    told = json.loads(str(line.client.hget(keys.delivery(delivery["id"]), "body")))
    assert told["data"] == line.store.jobs.outcome(job.id)


@pytest.mark.parametrize("text", ["half a pair: \ud83d", "nul: \x00", "\N{SNOWMAN}", "line\nbreak"])
def test_any_text_of_photogpts_can_be_stored(line: Line, text: str) -> None:
    """JSON can spell what UTF-8 cannot; a job must not become unable to end over it."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    line.store.jobs.reschedule(Lane.JOBS, [(job, Reschedule(after=1, reason=Reason.UNAVAILABLE, error=text))])
    failed = success(state=JobState.FAILED, images=({"id": text},), error=text)
    assert line.finish(job, failed) is not None
    assert line.read(job).state is JobState.FAILED
