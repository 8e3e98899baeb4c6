"""The right to ask PhotoGPT: it costs credits, so one has it at a time."""

from __future__ import annotations

import pytest

from tests.contract.store.conftest import Line
from tests.unit.factories import success
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import JobState, Kind
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store import keys
from worker.store.keys import Lane


def test_it_is_granted_once(line: Line) -> None:
    """Two workers with the same job: one asks."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    assert not line.store.jobs.record_intent(job)
    seen = line.read(job)
    assert seen.attempts == 1
    assert seen.intent_at == pytest.approx(line.store.clock(), abs=5)
    assert line.store.jobs.intents_since(0) == [job.id]


def test_a_repeat_of_the_same_call_is_granted(line: Line) -> None:
    """redis-py repeats a command whose answer was lost; that is nobody else."""
    job = line.accepted()
    script = line.store.jobs._scripts.record_intent
    answers = [script(keys=[keys.job(job.id), keys.INTENTS], args=[job.id, "me", ""]) for _ in range(3)]
    assert answers[0]
    assert len(set(answers)) == 1
    assert not script(keys=[keys.job(job.id), keys.INTENTS], args=[job.id, "somebody else", ""])
    assert line.read(job).attempts == 1


def test_it_is_granted_again_once_it_is_forgotten(line: Line) -> None:
    """PhotoGPT said no for certain: another attempt, counted."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.store.jobs.intents_since(0) == []
    assert line.read(job).intent_at is None
    assert line.store.jobs.record_intent(job)
    assert line.read(job).attempts == 2


def test_it_is_kept_while_the_answer_is_open(line: Line) -> None:
    """A postponement alone does not settle it."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, reason=Reason.UNAVAILABLE, error="lost"))])
    assert not line.store.jobs.record_intent(job)
    assert line.store.jobs.intents_since(0) == [job.id]


def test_a_yes_is_remembered_with_its_intent(line: Line) -> None:
    """PhotoGPT said yes and named nothing: whoever claims the job next knows, until PhotoGPT is asked afresh."""
    job = line.accepted()
    intent = line.store.jobs.record_intent(job)
    assert line.store.jobs.accepted_without_id(job, intent or "")
    assert line.read(job).accepted_without_id
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, intent=intent))])
    assert line.read(job).accepted_without_id
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, intent=intent, clear_intent=True))])
    assert line.store.jobs.record_intent(job)
    assert not line.read(job).accepted_without_id


def test_a_late_yes_is_not_the_next_intents(line: Line) -> None:
    """A worker that stood still says yes to an intent that was settled since: the open one knows nothing of it."""
    job = line.accepted()
    late = line.store.jobs.record_intent(job) or ""
    line.store.jobs.reschedule(Lane.TRIGGERS, [(job, Reschedule(after=1, clear_intent=True))])
    assert line.store.jobs.record_intent(job)
    assert not line.store.jobs.accepted_without_id(job, late)
    assert not line.read(job).accepted_without_id
    line.finish(job, JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    line.client.delete(keys.job(job.id))
    assert not line.store.jobs.accepted_without_id(job, late)
    assert not line.client.exists(keys.job(job.id))


def test_it_is_not_granted_for_a_job_under_way(line: Line) -> None:
    """It has its generation."""
    assert not line.store.jobs.record_intent(line.submitted())


def test_it_is_not_granted_for_a_job_that_ended(line: Line) -> None:
    """Canceled between the claim and the question."""
    job = line.accepted()
    line.finish(job, JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    assert not line.store.jobs.record_intent(job)


def test_it_is_not_granted_for_a_job_that_is_not_known(line: Line) -> None:
    """And leaves no record behind."""
    assert not line.store.jobs.record_intent(line.job())
    assert line.client.keys() == []


def test_a_training_remembers_how_the_model_was(line: Line) -> None:
    """To see later whether the lost trigger had worked."""
    job = line.accepted(Kind.TRAINING)
    assert line.store.jobs.record_intent(job, model_fingerprint_before='["new",null]')
    assert line.read(job).model_fingerprint_before == '["new",null]'


def test_the_answer_settles_it(line: Line) -> None:
    """A generation is known, and nobody is in doubt."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert line.store.jobs.intents_since(0) == []
    assert line.store.jobs.unknown_generations(["g-0", "g-1", "g-2"]) == ["g-0", "g-2"]
    assert line.read(job).intent_at is None


def test_a_late_answer_settles_it_even_then(line: Line) -> None:
    """The job was canceled while PhotoGPT was asked: its generation is ours all the same."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    line.finish(line.read(job), JobResult(state=JobState.CANCELED, reason=Reason.CANCELED))
    assert line.store.jobs.intents_since(0) == [job.id]  # still being asked: its generation may appear
    assert not line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert line.store.jobs.intents_since(0) == []
    assert line.store.jobs.unknown_generations(["g-1"]) == []
    assert line.read(job).generation_id == "g-1"
    assert line.lanes_of(job.id) == {Lane.RESULTS}


def test_a_definite_no_leaves_no_doubt_behind(line: Line) -> None:
    """A job that PhotoGPT refused created nothing, so it is no rival of one whose answer was lost."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    refused = JobResult(state=JobState.FAILED, reason=Reason.INVALID_REQUEST, error="PhotoGPT says 400")
    line.finish(line.read(job), refused, outcome_known=True)
    assert line.store.jobs.intents_since(0) == []


def test_an_end_in_doubt_leaves_it_behind(line: Line) -> None:
    """What PhotoGPT may have created for this job must not be taken for another one's."""
    job = line.accepted()
    assert line.store.jobs.record_intent(job)
    uncertain = JobResult(state=JobState.FAILED, reason=Reason.TRIGGER_UNCERTAIN, error="nobody knows")
    line.finish(line.read(job), uncertain)
    assert line.store.jobs.intents_since(0) == [job.id]


def test_doubts_that_nobody_settles_do_not_stay_for_ever(line: Line) -> None:
    """A worker died with one; the set has no TTL, so members have to leave by age, as generations do."""
    line.client.zadd(keys.INTENTS, {"long-gone": line.store.clock() - 30 * 86_400})
    assert line.store.jobs.record_intent(line.accepted())
    assert "long-gone" not in line.store.jobs.intents_since(0)


def test_old_generations_leave(line: Line) -> None:
    """They can no longer be listed, so nobody has to know them."""
    line.client.zadd(keys.GENERATIONS, {"ancient": line.store.clock() - 30 * 86_400})
    line.submitted()
    assert line.store.jobs.unknown_generations(["ancient", "g-1"]) == ["ancient"]
    assert line.store.jobs.unknown_generations([]) == []


def test_success_clears_the_way(line: Line) -> None:
    """What stood in the way is no longer told."""
    job = line.accepted()
    line.store.jobs.reschedule(
        Lane.TRIGGERS, [(job, Reschedule(after=0, reason=Reason.RATE_LIMITED, error="slow down"))]
    )
    assert line.read(job).reason is Reason.RATE_LIMITED
    assert line.store.jobs.record_intent(job)
    line.store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5)
    assert (line.read(job).reason, line.read(job).error) == (None, None)
    finished = line.finish(line.read(job), success())
    assert finished is not None
    assert finished.outcome["reason"] is None
