"""`photogpt-worker schema`: JSON Schema of what other services write and read."""

from __future__ import annotations

from typing import Any

import click
from pydantic import TypeAdapter

from worker.cli.help import HelpCommand
from worker.cli.jobs.schemas import Outcome, Webhook
from worker.cli.streams import json_text
from worker.domain.job import Kind
from worker.domain.requests import REFERENCE_IMAGES, REQUESTS
from worker.domain.submission import Submission

SCHEMAS: dict[str, Any] = {
    **{f"request-{kind.value}": REQUESTS[kind] for kind in Kind},
    "submission": Submission,
    "outcome": Outcome,
    "webhook": Webhook,
}
"""The model behind each schema, by the name that the command takes."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schema", cls=HelpCommand)
@click.argument("name", type=click.Choice(list(SCHEMAS)), required=False)
def schema(name: str | None) -> None:
    """Print the JSON Schema of what other services write and read; without NAME, every schema.

    request-… is the body for PhotoGPT, which is `request` of a submission. submission is the keyword arguments of the
    four tasks. outcome is the Celery result, the record and a webhook's data. webhook is a webhook's body.

    Example:
      photogpt-worker schema outcome > outcome.schema.json

    No environment variable is read.
    """
    printed = json_schema(name) if name else {each: json_schema(each) for each in SCHEMAS}
    click.echo(json_text(printed, indent=2))


def json_schema(name: str) -> dict[str, Any]:
    """Return one schema."""
    made = TypeAdapter(SCHEMAS[name]).json_schema(mode="validation")
    if name == f"request-{Kind.IMAGE.value}":  # the model decides which of the two bodies is valid
        public, trained = made.pop("oneOf")
        made |= {"if": {"properties": {"modelID": {"enum": list(REFERENCE_IMAGES)}}}, "then": public, "else": trained}
    return {"$schema": DRAFT, **made}
