"""`photogpt-worker schema`: the schemas describe what the service really writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests.cli.conftest import Invoke
from tests.conftest import image_request
from tests.running import Receiver
from tests.waiting import wait_until
from worker.cli.jobs.schema import SHAPES, schema_of
from worker.cli.jobs.schemas import Outcome
from worker.cli.main import cli
from worker.domain.job import Job, Kind
from worker.domain.outcome import outcome


def check(shape: str, value: Any) -> None:
    """Validate a value against a schema."""
    Draft202012Validator(schema_of(shape)).validate(value)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_schema_is_one(shape: str) -> None:
    """Each schema printed is a valid JSON Schema."""
    result = CliRunner().invoke(cli, ["schema", shape])
    Draft202012Validator.check_schema(json.loads(result.stdout))


def test_all_at_once() -> None:
    """Without a name, all schemas are printed by name."""
    assert json.loads(CliRunner().invoke(cli, ["schema"]).stdout).keys() == SHAPES.keys()


def test_the_outcome_s_fields_are_those_of_the_domain() -> None:
    """The model of the outcome names exactly the fields that the domain writes."""
    job = Job(id="j", kind=Kind.IMAGE, request={}, created_at=0, deadline_at=1)
    assert set(Outcome.model_fields) == set(outcome(job))


@pytest.mark.usefixtures("worker")
def test_real_outcomes_and_webhooks_fit(invoke: Invoke, producer: Celery, receiver: Receiver) -> None:
    """What workers answer, store and send validates: success, failure, and jobs under way."""
    events = [f"job.{state}" for state in ("queued", "submitted", "running", "succeeded", "failed")]
    told = {"webhook_url": receiver.url, "webhook_events": events, "metadata": {"order": 7}}
    check("submission", {"request": image_request(), **told})
    check("request-image", image_request())
    slow = {"request": image_request(duration_s=2), **told}  # long enough to be seen running
    check("outcome", producer.send_task("photogpt.generate_image", kwargs=slow).get(timeout=30))
    failing = producer.send_task("photogpt.generate_image", kwargs={"request": image_request(error="too dark"), **told})
    failing.get(timeout=30, propagate=False)
    check("outcome", json.loads(invoke("show", str(failing.id), "--json").stdout)["outcome"])
    wait_until(lambda: {received.json["type"] for received in receiver.requests} == set(events), "all events arrive")
    for received in receiver.requests:
        check("webhook", received.json)


def test_what_is_no_outcome_does_not_fit() -> None:
    """The schema is strict: a field too many or too few is refused."""
    job = outcome(Job(id="j", kind=Kind.IMAGE, request={}, created_at=0, deadline_at=1))
    check("outcome", job)
    for wrong in (job | {"more": 1}, {name: value for name, value in job.items() if name != "polls"}):
        with pytest.raises(ValidationError):
            check("outcome", wrong)


@pytest.mark.parametrize("body", [{"modelID": "nanobanana"}, {"prompt": "x"}, {"modelID": "mine", "width": 0}])
def test_what_is_no_image_request_does_not_fit(body: dict[str, Any]) -> None:
    """A public model needs a prompt, every request a model, and sizes are positive."""
    check("request-image", {"modelID": "mine"})
    with pytest.raises(ValidationError):
        check("request-image", body)
