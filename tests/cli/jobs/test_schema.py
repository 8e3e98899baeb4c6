"""`photogpt-worker schema`."""

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
from worker.cli.jobs.schema import SCHEMAS, json_schema
from worker.cli.jobs.schemas import Outcome
from worker.cli.main import cli
from worker.domain.job import Job, Kind
from worker.domain.outcome import outcome


def check(name: str, value: Any) -> None:
    """Validate a value against a schema."""
    Draft202012Validator(json_schema(name)).validate(value)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid(name: str) -> None:
    """`schema NAME` prints a valid JSON Schema for every name."""
    result = CliRunner().invoke(cli, ["schema", name])
    Draft202012Validator.check_schema(json.loads(result.stdout))


def test_all_schemas() -> None:
    """`schema` without a name prints every schema by name."""
    assert json.loads(CliRunner().invoke(cli, ["schema"]).stdout).keys() == SCHEMAS.keys()


def test_fields_of_the_outcome() -> None:
    """The schema of the outcome has exactly the fields that the service writes."""
    job = Job(id="j", kind=Kind.IMAGE, request={}, created_at=0, deadline_at=1)
    assert set(Outcome.model_fields) == set(outcome(job))


@pytest.mark.usefixtures("worker")
def test_real_outcomes_and_webhooks(invoke: Invoke, producer: Celery, receiver: Receiver) -> None:
    """Real outcomes and webhooks of every state validate against their schemas."""
    events = [f"job.{state}" for state in ("queued", "submitted", "running", "succeeded", "failed")]
    options = {"webhook_url": receiver.url, "webhook_events": events, "metadata": {"order": 7}}
    check("submission", {"request": image_request(), **options})
    check("request-image", image_request())
    slow = {"request": image_request(duration_s=2), **options}  # long enough to be seen running
    check("outcome", producer.send_task("photogpt.generate_image", kwargs=slow).get(timeout=30))
    failing = producer.send_task(
        "photogpt.generate_image", kwargs={"request": image_request(error="too dark"), **options}
    )
    failing.get(timeout=30, propagate=False)
    check("outcome", json.loads(invoke("show", str(failing.id), "--json").stdout)["outcome"])
    wait_until(lambda: {received.json["type"] for received in receiver.requests} == set(events), "all events arrive")
    for received in receiver.requests:
        check("webhook", received.json)


def test_invalid_outcomes() -> None:
    """An outcome with a missing or an additional field does not validate."""
    job = outcome(Job(id="j", kind=Kind.IMAGE, request={}, created_at=0, deadline_at=1))
    check("outcome", job)
    for wrong in (job | {"more": 1}, {name: value for name, value in job.items() if name != "polls"}):
        with pytest.raises(ValidationError):
            check("outcome", wrong)


@pytest.mark.parametrize("body", [{"modelID": "nanobanana"}, {"prompt": "x"}, {"modelID": "mine", "width": 0}])
def test_invalid_image_requests(body: dict[str, Any]) -> None:
    """An image request without model, without prompt for a public model, or with size 0 does not validate."""
    check("request-image", {"modelID": "mine"})
    with pytest.raises(ValidationError):
        check("request-image", body)
