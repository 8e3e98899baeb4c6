"""The intent before a trigger: one worker at a time may ask PhotoGPT, since that costs credits."""

from __future__ import annotations

from functools import partial

import pytest

from tests.contract.store.conftest import Line
from tests.running import keys
from tests.unit.factories import success
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason


def test_an_intent_is_granted_once(line: Line) -> None:
    """Of two workers with the same job one gets the intent."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    assert not line.store.jobs.record_intent(job)
    seen = line.read(job)
    assert seen.attempts == 1
    assert seen.intent_at == pytest.approx(line.store.clock(), abs=5)
    assert line.open_intents() == [job.id]


def test_a_repeated_call_is_granted(line: Line) -> None:
    """A repeat of the same call, as redis-py makes it when an answer is lost, gets the same intent."""
    job = line.accepted()
    script = partial(
        line.store.jobs._scripts.record_intent,
        job=keys.job(job.id),
        intents=keys.intents,
        id=job.id,
        model_fingerprint=None,
    )
    answers = [script(asked_by="me") for _ in range(3)]
    assert answers[0]
    assert len(set(answers)) == 1
    assert not script(asked_by="another worker")
    assert line.read(job).attempts == 1


def test_a_cleared_intent_is_granted_again(line: Line) -> None:
    """After a definite refusal the intent is granted again, and counted as another attempt."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.open_intents() == []
    assert line.read(job).intent_at is None
    assert line.store.jobs.record_intent(job)
    assert line.read(job).attempts == 2


def test_an_unresolved_intent_is_kept(line: Line) -> None:
    """Rescheduling alone does not clear an intent."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, reason=Reason.UNAVAILABLE, error="lost"))])
    assert not line.store.jobs.record_intent(job)
    assert line.open_intents() == [job.id]


def test_an_acceptance_without_an_id_is_kept(line: Line) -> None:
    """An acceptance without an id is kept with its intent, until the next intent."""
    job = line.accepted()
    intent = line.store.jobs.record_intent(job)
    assert line.store.jobs.record_acceptance(job, intent or "")
    assert line.read(job).accepted_without_id
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, intent=intent))])
    assert line.read(job).accepted_without_id
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, intent=intent, clear_intent=True))])
    assert line.store.jobs.record_intent(job)
    assert not line.read(job).accepted_without_id


def test_a_late_acceptance_does_not_touch_the_next_intent(line: Line) -> None:
    """An acceptance of a cleared intent does not touch the next intent, nor a job without a record."""
    job = line.accepted()
    late = line.store.jobs.record_intent(job) or ""
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.store.jobs.record_intent(job)
    assert not line.store.jobs.record_acceptance(job, late)
    assert not line.read(job).accepted_without_id
    line.finish(job, JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    line.client.delete(keys.job(job.id))
    assert not line.store.jobs.record_acceptance(job, late)
    assert not line.client.exists(keys.job(job.id))


def test_a_submitted_job_gets_no_intent(line: Line) -> None:
    """A job that PhotoGPT has accepted gets no intent."""
    assert not line.store.jobs.record_intent(line.submitted())


def test_an_ended_job_gets_no_intent(line: Line) -> None:
    """A job that was canceled after its claim gets no intent."""
    job = line.accepted()
    line.finish(job, JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    assert not line.store.jobs.record_intent(job)


def test_an_unknown_job_gets_no_intent(line: Line) -> None:
    """An unknown job gets no intent and no record."""
    assert not line.store.jobs.record_intent(line.job())
    assert line.client.keys() == []


def test_a_training_stores_the_fingerprint(line: Line) -> None:
    """The intent of a training stores the fingerprint of the model."""
    job = line.accepted(Kind.TRAINING)
    assert line.store.jobs.record_intent(job, model_fingerprint_before='["new",null]')
    assert line.read(job).model_fingerprint_before == '["new",null]'


def test_the_answer_clears_the_intent(line: Line) -> None:
    """PhotoGPT's answer clears the intent and makes the generation known."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert line.open_intents() == []
    assert line.store.generations.unknown(["g-0", "g-1", "g-2"]) == ["g-0", "g-2"]
    assert line.read(job).intent_at is None


def test_a_late_answer_clears_the_intent(line: Line) -> None:
    """An answer after the end of its job clears the intent and makes the generation known."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.finish(line.read(job), JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    assert line.open_intents() == [job.id]  # still being asked: its generation may appear
    assert not line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert line.open_intents() == []
    assert line.store.generations.unknown(["g-1"]) == []
    assert line.read(job).generation_id == "g-1"
    assert line.lanes_of(job.id) == {Lane.RESULTS}


def test_a_definite_refusal_clears_the_intent(line: Line) -> None:
    """A job that ends with a known outcome leaves no intent."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    refused = JobResult(state=JobState.FAILED, reason=Reason.INVALID_REQUEST, error="PhotoGPT answers 400")
    line.finish(line.read(job), refused, outcome_known=True)
    assert line.open_intents() == []


def test_an_uncertain_end_keeps_the_intent(line: Line) -> None:
    """A job that ends with an unknown outcome leaves its intent, so that no other job adopts its generation."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    uncertain = JobResult(state=JobState.FAILED, reason=Reason.TRIGGER_UNCERTAIN, error="the answer was lost")
    line.finish(line.read(job), uncertain)
    assert line.open_intents() == [job.id]
    assert line.store.job_history.has_unresolved_intent(job.id)


@pytest.mark.parametrize("outcome_known", [True, False], ids=["refused", "uncertain"])
def test_a_late_end_does_not_touch_the_next_intent(line: Line, outcome_known: bool) -> None:
    """The late end of a cleared intent does not end the job, since the next trigger is on its way to PhotoGPT."""
    job = line.accepted()
    late = line.store.jobs.record_intent(job)
    seen = line.read(job)
    line.store.lanes.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.store.jobs.record_intent(job)
    ended = JobResult(state=JobState.FAILED, reason=Reason.UNAVAILABLE, error="late")
    assert line.finish(seen, ended, outcome_known=outcome_known) is None
    assert line.finish(job, ended, outcome_known=outcome_known, intent=late) is None
    assert line.read(job).state is JobState.QUEUED
    assert line.open_intents() == [job.id]


def test_an_ended_job_does_not_keep_generations(line: Line) -> None:
    """Old generations are kept while a job of their time is unresolved, not for one that has ended so."""
    job, hours_ago = line.accepted(), line.store.clock() - 3 * 3600
    assert line.store.jobs.record_intent(job)
    line.client.zadd(keys.intents, {job.id: hours_ago})
    line.client.zadd(keys.generations, {"old": hours_ago})
    line.submitted(generation="g-1")
    assert line.store.generations.unknown(["old"]) == []
    line.finish(line.read(job), JobResult(state=JobState.FAILED, reason=Reason.TRIGGER_UNCERTAIN, error="lost"))
    line.submitted(generation="g-2")
    assert line.store.generations.unknown(["old"]) == ["old"]
    assert line.open_intents() == [job.id]
    assert line.store.fleet.read().unresolved == 0


def test_old_intents_are_removed(line: Line) -> None:
    """Intents of dead workers and of ended jobs are removed by age."""
    for key in (keys.intents, keys.ended_intents):
        line.client.zadd(key, {"long-gone": line.store.clock() - 30 * 86_400})
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.finish(line.read(job), JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    assert "long-gone" not in line.open_intents()


def test_old_generations_are_removed(line: Line) -> None:
    """Generations that PhotoGPT no longer lists are removed."""
    line.client.zadd(keys.generations, {"ancient": line.store.clock() - 30 * 86_400})
    line.submitted()
    assert line.store.generations.unknown(["ancient", "g-1"]) == ["ancient"]
    assert line.store.generations.unknown([]) == []


def test_a_submitted_job_has_no_reason(line: Line) -> None:
    """A reason from before the trigger is removed when PhotoGPT accepts the job."""
    job = line.accepted()
    line.store.lanes.reschedule(
        Lane.TRIGGERS, [(job, Reschedule(after=0, reason=Reason.RATE_LIMITED, error="slow down"))]
    )
    assert line.read(job).reason is Reason.RATE_LIMITED
    assert line.store.jobs.record_intent(job)
    line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert (line.read(job).reason, line.read(job).error) == (None, None)
    finished = line.finish(line.read(job), success())
    assert finished is not None
    assert finished.outcome["reason"] is None
