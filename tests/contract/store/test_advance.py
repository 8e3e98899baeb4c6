"""The states of a job between its trigger and its end."""

from __future__ import annotations

import json

import pytest

from tests.contract.store.conftest import Line
from tests.running import keys
from tests.unit.factories import success
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import JobState, Kind
from worker.domain.lane import Lane
from worker.domain.reason import Reason

URL = "https://shop.example/hooks"


@pytest.mark.parametrize(("kind", "lane"), [(Kind.IMAGE, Lane.JOBS), (Kind.TRAINING, Lane.MODELS)])
def test_a_submitted_job_waits_for_its_poll(line: Line, kind: Kind, lane: Lane) -> None:
    """A submitted job waits for its poll, a generation in one lane and a training in another."""
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


def test_a_repeated_acceptance_changes_nothing(line: Line) -> None:
    """A repeat of PhotoGPT's acceptance adds no event, no webhook and no timer."""
    job = line.accepted(webhook_url=URL, webhook_events=("job.submitted",))
    assert line.store.jobs.record_intent(job)
    for _ in range(3):
        line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert line.events(job) == ["job.queued", "job.submitted"]
    assert len(line.store.delivery_history.of_job(job.id)) == 1
    assert line.lanes_of(job.id) == {Lane.JOBS}


def test_a_second_generation_does_not_replace_the_first(line: Line) -> None:
    """A second generation for a job does not replace the first, but is known as ours."""
    job = line.submitted(generation="g-1")
    assert not line.store.jobs.mark_submitted(job, Submitted("g-2"), poll_after=5)
    assert line.read(job).generation_id == "g-1"
    assert line.store.generations.unknown(["g-1", "g-2"]) == []


def test_running_is_published_once(line: Line) -> None:
    """The state `running` is stored, appended to the stream and sent as a webhook once."""
    job = line.submitted(webhook_url=URL, webhook_events=("job.running",))
    line.claimed(Lane.JOBS)
    assert line.store.jobs.mark_running(job, poll_after=5)
    assert not line.store.jobs.mark_running(job, poll_after=5)
    assert line.read(job).state is JobState.RUNNING
    assert line.events(job) == ["job.queued", "job.submitted", "job.running"]
    assert [found["type"] for found in line.store.delivery_history.of_job(job.id)] == ["job.running"]


def test_a_queued_job_cannot_run(line: Line) -> None:
    """A job that PhotoGPT has not accepted cannot become running."""
    job = line.accepted()
    assert not line.store.jobs.mark_running(job, poll_after=5)
    assert line.read(job).state is JobState.QUEUED
    assert line.lanes_of(job.id) == {Lane.TRIGGERS}


@pytest.mark.parametrize("state", sorted(JobState))
def test_an_ended_job_never_changes(line: Line, state: JobState) -> None:
    """No late answer of any kind changes a job that has ended."""
    if not state.terminal:
        return
    job = line.submitted()
    line.finish(job, success(state=state, images=()))
    before = line.client.hgetall(keys.job(job.id))
    assert not line.store.jobs.mark_submitted(job, Submitted("g-9"), poll_after=1)
    assert not line.store.jobs.mark_running(job, poll_after=1)
    line.store.lanes.reschedule(
        Lane.JOBS, [(job, Reschedule(after=1, reason=Reason.UNAVAILABLE, error="x", polled=True))]
    )
    assert line.finish(job, success(), polled=True) is None
    assert not line.store.jobs.record_intent(job)
    assert line.client.hgetall(keys.job(job.id)) == before
    assert line.lanes_of(job.id) == {Lane.RESULTS}


def test_a_job_without_a_record_is_not_created(line: Line) -> None:
    """A job whose record has expired is not created by a late answer."""
    job = line.job()
    assert not line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=1)
    assert not line.store.jobs.mark_running(job, poll_after=1)
    assert line.finish(job, success()) is None
    assert line.store.jobs.get(job.id) is None


def test_a_rescheduled_job_is_due_after_its_delay(line: Line) -> None:
    """A rescheduled job is due after its delay, and stores the reason until the next poll without one."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    unavailable = Reschedule(after=9, reason=Reason.UNAVAILABLE, error="PhotoGPT answers 503", polled=True)
    line.store.lanes.reschedule(Lane.JOBS, [(job, unavailable)])
    seen = line.read(job)
    assert (seen.reason, seen.error, seen.polls) == (Reason.UNAVAILABLE, "PhotoGPT answers 503", 1)
    assert 8 < line.due_in(Lane.JOBS, job.id) <= 9
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=9, polled=True))])
    assert (line.read(job).reason, line.read(job).error, line.read(job).polls) == (None, None, 2)


def test_jobs_are_rescheduled_together(line: Line) -> None:
    """Several jobs are rescheduled by one script, each with its own delay, and share one tick."""
    jobs = [line.submitted(generation=f"g-{number}") for number in range(3)]
    line.claimed(Lane.JOBS)
    line.published()
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=5 + n)) for n, job in enumerate(jobs)])
    assert [round(line.due_in(Lane.JOBS, job.id)) for job in jobs] == [5, 6, 7]
    (tick,) = line.published()
    assert 4 < tick.delay <= 5
    line.store.lanes.reschedule(Lane.JOBS, [])
    assert line.published() == []


def test_a_job_that_left_its_lane_is_not_put_back(line: Line) -> None:
    """A job that has left a lane is not put back into it."""
    job = line.submitted()
    line.published()
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.published() == []
    assert line.lanes_of(job.id) == {Lane.JOBS}


def test_a_webhook_shows_the_record(line: Line) -> None:
    """The webhook of an intermediate state has the outcome that is stored."""
    job = line.submitted(webhook_url=URL, webhook_events=("job.submitted",), metadata={"order": 7})
    (delivery,) = line.store.delivery_history.of_job(job.id)
    body = json.loads(str(line.client.hget(keys.delivery(delivery["id"]), "body")))
    assert body["data"] == line.store.jobs.outcome(job.id)


@pytest.mark.parametrize("text", ["half a pair: \ud83d", "nul: \x00", "\N{SNOWMAN}", "line\nbreak"])
def test_any_text_can_be_stored(line: Line, text: str) -> None:
    """Texts that JSON can spell and UTF-8 cannot are stored, and the job ends."""
    job = line.submitted()
    line.claimed(Lane.JOBS)
    line.store.lanes.reschedule(Lane.JOBS, [(job, Reschedule(after=1, reason=Reason.UNAVAILABLE, error=text))])
    failed = success(state=JobState.FAILED, images=({"id": text},), error=text)
    assert line.finish(job, failed) is not None
    assert line.read(job).state is JobState.FAILED
