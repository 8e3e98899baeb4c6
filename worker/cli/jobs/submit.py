"""`photogpt-worker submit`: enqueue one job, and wait for it if asked."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from worker.cli.context import USAGE, CommandError, connected_client, read_settings
from worker.cli.help import HelpCommand
from worker.cli.jobs.progress import Progress, follow
from worker.cli.jobs.request_body import JsonParameter, request_body
from worker.cli.output import console
from worker.domain.errors import SubmissionError
from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.outcome import Outcome

TIMED_OUT = 3
INTERRUPTED = 130


@click.command("submit", cls=HelpCommand)
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.option("--model", help="modelID.  [default: nanobanana for an image, veo-3.1-fast for a video]")
@click.option("--prompt", help="What to see.")
@click.option("--image", help="imageID of what to upscale.")
@click.option("--count", type=click.IntRange(1), help="numImages or numVideos.")
@click.option("--request", "body", type=JsonParameter(), help="The whole body; the options above are put over it.")
@click.option("--webhook-url", help="Where the outcome is sent, signed.")
@click.option("--event", "events", multiple=True, help="Which events are sent (job.running, …); repeatable.")
@click.option("--metadata", type=JsonParameter(), help="Echoed in outcome and webhooks.")
@click.option("--deadline", type=float, help="Seconds from now, queue time included.")
@click.option("--idempotency-key", help="Enqueued twice, it is triggered once.")
@click.option("--tenant", help="Whose it is, for fair picking where jobs wait for room.")
@click.option("--id", "job_id", help="The job's id.  [default: a fresh one]")
@click.option("--wait/--no-wait", default=False, help="Show progress until it has ended.  [default: no]")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds that --wait lasts.  [default: until the job ends]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def submit(kind: str, job_id: str | None, timeout: float | None, *, wait: bool, as_json: bool, **given: Any) -> None:
    """Enqueue one job: an image, an upscale, a video or a training.

    Writes the job into the ledger before it sends a message, so that a lost message costs seconds, not the job. Prints
    the job's id alone. With --wait, shows progress on standard error and prints what came out (a URL a line, or
    the model) on standard output. The job goes on whether anybody waits for it or not.

    Examples:
      photogpt-worker submit image --prompt "a quiet harbour" --wait
      photogpt-worker submit video --request @video.json --webhook-url https://example.com/hook

    Exit codes:
      0    enqueued, or succeeded
      1    failed, expired or canceled; or Redis is away
      2    the arguments cannot be used, nothing was enqueued
      3    --timeout passed, the job goes on

    Settings that matter: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    settings = read_settings()
    arguments = _arguments(Kind(kind), **given)
    with connected_client(settings) as client:
        try:
            job = client.submit(kind, job_id=job_id, **arguments)
        except SubmissionError as error:
            raise CommandError(f"{error}; nothing was enqueued", USAGE) from None
        if not wait:
            click.echo(json.dumps({"id": job.id}) if as_json else job.id)
            return
        try:
            with Progress(console(stderr=True), job.id) as progress:
                outcome = follow(client.store, job.id, progress, timeout_s=timeout)
        except KeyboardInterrupt:
            raise CommandError(
                f"stopped waiting; the job goes on: photogpt-worker show {job.id}", INTERRUPTED
            ) from None
    if outcome is None:
        raise CommandError(f"{timeout:g} s passed; the job goes on: photogpt-worker show {job.id}", TIMED_OUT)
    _tell(outcome, as_json=as_json)


def _arguments(  # noqa: PLR0913 - the options of the command
    kind: Kind,
    *,
    body: JsonObject | None,
    model: str | None,
    prompt: str | None,
    image: str | None,
    count: int | None,
    webhook_url: str | None,
    events: tuple[str, ...],
    metadata: JsonObject | None,
    deadline: float | None,
    idempotency_key: str | None,
    tenant: str | None,
) -> JsonObject:
    """Return the task's arguments; what is wrong with them is for the client to say."""
    named: JsonObject = {
        "request": request_body(kind, body, model=model, prompt=prompt, image=image, count=count),
        "webhook_url": webhook_url,
        "webhook_events": list(events) or None,
        "metadata": metadata,
        "deadline_s": deadline,
        "idempotency_key": idempotency_key,
        "tenant": tenant,
    }
    return {name: value for name, value in named.items() if value is not None}


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    """Print what came out, and end with the exit code that says it."""
    succeeded = outcome["state"] == JobState.SUCCEEDED
    if as_json:
        click.echo(json.dumps(outcome, indent=2, ensure_ascii=False))
    elif succeeded:
        made = [record.get("url") for record in outcome["images"] + outcome["videos"]]
        for line in made or [outcome["model_id"]]:
            click.echo(line)
    else:
        click.echo(f"{outcome['state']}: {outcome['reason']}: {outcome['error']}", err=True)
    sys.exit(0 if succeeded else 1)
