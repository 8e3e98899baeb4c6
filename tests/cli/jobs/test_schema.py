"""`photogpt-worker schema`."""

from __future__ import annotations

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests.acceptance.receivers.conftest import install
from tests.cli.conftest import Invoke
from tests.conftest import image_request
from tests.golden import golden
from tests.parts import need_program
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


@pytest.mark.parametrize("entry", [each["entry"] for each in golden("inbox/entries")])
def test_entries_of_the_inbox(entry: dict[str, Any]) -> None:
    """Each kind of entry validates against the schema of the inbox."""
    check("inbox", entry)


@pytest.mark.parametrize("text", [each["job"] for each in golden("inbox/refused") if each["job"].startswith("{")])
def test_refused_entries_of_the_inbox(text: str) -> None:
    """An entry that a worker refuses does not validate, unless only a webhook URL is wrong."""
    entry = json.loads(text)
    with nullcontext() if "webhook_url" in entry else pytest.raises(ValidationError):
        check("inbox", entry)


def test_outcomes_of_the_golden_files() -> None:
    """The outcomes and events that a producer is tested against validate."""
    for name in ("succeeded", "failed"):
        shape = golden(f"outcomes/{name}")
        check("outcome", shape["outcome"])
        for event in shape["events"]:
            check("event", event)
    check("batch", json.loads(golden("outcomes/batch")["event"]["data"]))


def test_the_asyncapi_document(tmp_path: Path) -> None:
    """The AsyncAPI document validates against AsyncAPI's own schema, and its schemas are valid, too."""
    (tmp_path / "package.json").write_text('{"private": true, "dependencies": {"@asyncapi/specs": "6.11.1"}}')
    install(tmp_path)
    specification = json.loads((tmp_path / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text("utf-8"))
    document = json.loads(CliRunner().invoke(cli, ["schema", "--asyncapi"]).stdout)
    Draft7Validator(specification).validate(document)
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


PARSE = """
import { Parser } from "@asyncapi/parser";
const { diagnostics } = await new Parser().parse(process.argv[1]);
console.log(JSON.stringify(diagnostics.filter((found) => found.severity < 2)));
"""


@pytest.mark.long
def test_asyncapis_own_parser_finds_no_fault(tmp_path: Path) -> None:
    """AsyncAPI's parser, which also checks references and names, has no error and no warning."""
    (tmp_path / "package.json").write_text('{"private": true, "dependencies": {"@asyncapi/parser": "3.6.6"}}')
    install(tmp_path)
    document = CliRunner().invoke(cli, ["schema", "--asyncapi"]).stdout
    command = [need_program("node"), "--input-type=module", "--eval", PARSE, document]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []


def test_a_name_and_asyncapi_exclude_one_another() -> None:
    """`schema outcome --asyncapi` is refused."""
    assert CliRunner().invoke(cli, ["schema", "outcome", "--asyncapi"]).exit_code == 2


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
