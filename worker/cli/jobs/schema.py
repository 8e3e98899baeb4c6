"""`photogpt-worker schema`: JSON Schema of everything that other services write or read."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import TypeAdapter

from worker.cli.help import HelpCommand
from worker.cli.jobs.schemas import Outcome, Webhook
from worker.domain.job import Kind
from worker.domain.requests import REFERENCE_IMAGES, REQUESTS
from worker.domain.submission import Submission

SHAPES: dict[str, Any] = {
    **{f"request-{kind.value}": REQUESTS[kind] for kind in Kind},
    "submission": Submission,
    "outcome": Outcome,
    "webhook": Webhook,
}
"""What there is a schema of."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schema", cls=HelpCommand)
@click.argument("shape", type=click.Choice(list(SHAPES)), required=False)
def schema(shape: str | None) -> None:
    """Print the JSON Schema of what other services write or read; without SHAPE, of everything.

    request-… is the body for PhotoGPT, which is `request` of a submission. submission is the keyword arguments of the
    four tasks. outcome is the Celery result, the record and a webhook's data. webhook is a webhook's body.

    Example:
      photogpt-worker schema outcome > outcome.schema.json

    No environment variable matters to it.
    """
    shown = schema_of(shape) if shape else {name: schema_of(name) for name in SHAPES}
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))


def schema_of(shape: str) -> dict[str, Any]:
    """Return one schema."""
    made = TypeAdapter(SHAPES[shape]).json_schema(mode="validation")
    if shape == f"request-{Kind.IMAGE.value}":  # which of the two it is, the model decides
        public, trained = made.pop("oneOf")
        made |= {"if": {"properties": {"modelID": {"enum": list(REFERENCE_IMAGES)}}}, "then": public, "else": trained}
    return {"$schema": DRAFT, **made}
