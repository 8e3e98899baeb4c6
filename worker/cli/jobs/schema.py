"""`photogpt-worker schema`: JSON Schema of what other services write and read."""

from __future__ import annotations

from typing import Any

import click
from pydantic import TypeAdapter

from worker.cli.help import HelpCommand
from worker.cli.jobs.asyncapi import asyncapi
from worker.cli.jobs.schemas import Batch, Event, InboxEntry, Outcome, Webhook, choose_by_model
from worker.cli.streams import json_text
from worker.domain.job import Kind
from worker.domain.requests import REQUESTS
from worker.domain.submission import Submission

SCHEMAS: dict[str, Any] = {
    **{f"request-{kind.value}": REQUESTS[kind] for kind in Kind},
    "submission": Submission,
    "inbox": InboxEntry,
    "outcome": Outcome,
    "event": Event,
    "batch": Batch,
    "webhook": Webhook,
}
"""The model behind each schema, by the name that the command takes."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schema", cls=HelpCommand)
@click.argument("name", type=click.Choice(list(SCHEMAS)), required=False, metavar="[NAME]")
@click.option(
    "--asyncapi", "as_asyncapi", is_flag=True, help="Print one AsyncAPI document of all streams and webhooks."
)
def schema(name: str | None, *, as_asyncapi: bool) -> None:
    """Print the JSON Schema of what other services write and read; without NAME, every schema.

    NAME:
      request-image, request-upscale, request-video, request-training
                    the body for PhotoGPT: `request` of a submission
      submission    the keyword arguments of the four tasks
      inbox         the JSON of an entry of the inbox
      outcome       the Celery result, the record and a webhook's data
      event         an entry of a job's event stream
      batch         the end of a batch
      webhook       a webhook's body

    Examples:
      photogpt-worker schema outcome > outcome.schema.json
      photogpt-worker schema --asyncapi > asyncapi.json

    No environment variable is read.
    """
    if name and as_asyncapi:
        raise click.UsageError("--asyncapi prints everything; leave NAME out")
    printed = json_schema(name) if name else {each: json_schema(each) for each in SCHEMAS}
    if as_asyncapi:
        printed = asyncapi()
    click.echo(json_text(printed, indent=2))


def json_schema(name: str) -> dict[str, Any]:
    """Return one schema."""
    made = TypeAdapter(SCHEMAS[name]).json_schema(mode="validation")
    choose_by_model(made)
    return {"$schema": DRAFT, **made}
