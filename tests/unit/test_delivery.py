"""The webhooks that an event creates."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.factories import CREATED, make_job, success
from worker.cli.jobs.schemas import Webhook
from worker.domain.delivery import FULL, SCHEDULE_S, BodyOptions, Delivery, event_type, plan, plan_for_files
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import outcome

URL = "https://shop.example/hooks"


def planned_types(job: Job) -> list[str]:
    """Return the event types of a job that passes through all states."""
    return [found.type for state in JobState for found in plan(job, state, {}, at=CREATED)]


def test_a_job_without_a_url_has_no_webhooks() -> None:
    """A job without a webhook URL creates no webhooks, whatever events it lists."""
    assert planned_types(make_job(webhook_events=("job.running", "job.succeeded"))) == []


def test_terminal_states_are_sent_by_default() -> None:
    """A job without a list of events creates webhooks for terminal states only."""
    found = planned_types(make_job(webhook_url=URL))
    assert found == ["job.succeeded", "job.failed", "job.expired", "job.canceled"]


def test_only_listed_events_are_sent() -> None:
    """A job with a list of events creates webhooks for these events only."""
    job = make_job(webhook_url=URL, webhook_events=("job.running", "job.queued", "model.succeeded"))
    assert planned_types(job) == ["job.queued", "job.running"]


@pytest.mark.parametrize(
    ("events", "expected"), [((), ["job.stored"]), (("job.stored",), ["job.stored"]), (("job.succeeded",), [])]
)
def test_the_event_of_stored_files_is_sent(events: tuple[str, ...], expected: list[str]) -> None:
    """The event of stored files creates a webhook by default, and with a list of events only if the list has it."""
    found = plan_for_files(make_job(webhook_url=URL, webhook_events=events), "job.stored", {}, at=CREATED, body=FULL)
    assert [each.type for each in found] == expected


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", JobState)
def test_trainings_have_model_events(kind: Kind, state: JobState) -> None:
    """The event type is `model.<state>` for a training and `job.<state>` for the other kinds."""
    noun = "model" if kind is Kind.TRAINING else "job"
    assert event_type(make_job(kind), state) == f"{noun}.{state.value}"


def test_the_id_is_stable_and_may_be_signed() -> None:
    """The id of an event does not depend on time, is ASCII, and has no full stop, as the specification demands."""
    job = make_job(webhook_url=URL, id="a.job/with.stops")
    (first,), (second,) = (plan(job, JobState.FAILED, {"x": at}, at=at) for at in (CREATED, CREATED + 5))
    assert first.id == second.id
    assert "." not in first.id
    assert first.id.isascii()


def test_different_events_have_different_ids() -> None:
    """Webhooks of different jobs, types or endpoints have different ids."""
    jobs = [make_job(webhook_url=URL), make_job(webhook_url=URL, id="job-2"), make_job(webhook_url=URL + "/2")]
    ids = {found.id for job in jobs for state in JobState for found in plan(job, state, {}, at=CREATED)}
    assert len(ids) == 3 * 4


def test_the_body_is_the_contract() -> None:
    """The body has type, time, schema, sequence and the outcome, as compact JSON in UTF-8."""
    job = make_job(webhook_url=URL, metadata={"name": "Häfen \N{SNOWMAN}"})
    data = outcome(job, success(), at=CREATED + 9)
    (delivery,) = plan(job, JobState.SUCCEEDED, data, at=CREATED + 9)
    assert json.loads(delivery.body) == {
        "type": "job.succeeded",
        "timestamp": "2027-01-15T08:00:09.000Z",
        "schema": 1,
        "sequence": 4,
        "truncated": False,
        "outcome_url": None,
        "outcome_key": None,
        "data": data,
    }
    assert delivery.body.startswith('{"type":"job.succeeded","timestamp":')
    assert "Häfen \N{SNOWMAN}".encode() in delivery.body.encode()
    assert (delivery.url, delivery.job_id, delivery.state, delivery.attempts) == (URL, job.id, "pending", 0)


def test_the_schedule_lasts_more_than_a_day() -> None:
    """The nine delays of the retry schedule never decrease and sum up to more than a day."""
    assert sum(SCHEDULE_S) > 86_400
    assert list(SCHEDULE_S) == sorted(SCHEDULE_S)
    assert len(SCHEDULE_S) == 9


# -- thin, or too large -----------------------------------------------------------------------------------------------

BODIES = BodyOptions(max_bytes=2000, outcome_key="photogpt:job:{{id}}", outcome_url="https://api.example/jobs/{id}")


def written(images: int, bodies: BodyOptions, job_id: str = "job-1") -> dict[str, Any]:
    """Return the body of a job with this many images."""
    job = make_job(webhook_url=URL, id=job_id)
    data = outcome(job, success(), at=CREATED) | {"images": [{"url": "https://cdn.example/" + "x" * 80}] * images}
    (delivery,) = plan(job, JobState.SUCCEEDED, data, at=CREATED, body=bodies)
    assert len(delivery.body.encode()) <= bodies.max_bytes
    found: dict[str, Any] = json.loads(delivery.body)
    Webhook.model_validate(found)
    return found


def test_a_body_that_is_too_large_is_truncated() -> None:
    """A body above the limit has no outputs, is marked as truncated, and links to the outcome."""
    found = written(40, BODIES)
    assert (found["truncated"], found["schema"], found["sequence"]) == (True, 1, 4)
    assert not {"images", "videos"} & found["data"].keys()
    assert (found["data"]["id"], found["data"]["state"]) == ("job-1", "succeeded")
    assert found["outcome_url"] == "https://api.example/jobs/job-1"
    assert found["outcome_key"] == "photogpt:job:{job-1}"
    assert written(40, replace(BODIES, outcome_url=None))["outcome_url"] is None


def test_a_body_below_the_limit_is_complete() -> None:
    """A body below the limit has all outputs and no links."""
    found = written(2, BODIES)
    assert (found["truncated"], found["outcome_url"], found["outcome_key"]) == (False, None, None)
    assert len(found["data"]["images"]) == 2


def test_the_limit_itself_is_allowed() -> None:
    """A body of exactly the limit is complete, and with one byte less allowed it is truncated."""
    size = len(json.dumps(written(2, BODIES), separators=(",", ":")).encode())
    assert written(2, replace(BODIES, max_bytes=size))["truncated"] is False
    assert written(2, replace(BODIES, max_bytes=size - 1))["truncated"] is True


@pytest.mark.parametrize("images", [1, 40])
def test_a_thin_body_never_has_outputs(images: int) -> None:
    """A thin body has no outputs, links to the outcome, and is not marked as truncated, however large it was."""
    found = written(images, replace(BODIES, thin=True))
    assert found["truncated"] is False
    assert not {"images", "videos"} & found["data"].keys()
    assert found["outcome_key"] == "photogpt:job:{job-1}"


def test_a_job_id_is_escaped_in_the_link() -> None:
    """Special characters of a job id are escaped in the outcome URL."""
    found = written(40, BODIES, job_id="a/../{id}?x=1")
    assert found["outcome_url"] == "https://api.example/jobs/a%2F..%2F%7Bid%7D%3Fx%3D1"
    assert found["outcome_key"] == "photogpt:job:{a/../{id}?x=1}"


def test_attempts_by_hand_use_up_no_step_and_skipped_steps_do() -> None:
    """Manual attempts do not count as steps of the schedule, and skipped steps do."""
    assert Delivery(id="m", type="t", url=URL, body="", job_id="j", attempts=5, manual=2, skipped=3).steps == 6
