"""`photogpt-worker submit`: enqueue one job, and wait for its outcome with --wait."""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from redis import RedisError, ResponseError

from config.settings import Settings
from worker.cli.context import FAILED, USAGE, CommandError, connected_store, read_settings
from worker.cli.enqueue import check_accepted, enqueue, wait_accepted
from worker.cli.help import HelpCommand
from worker.cli.jobs.progress import Progress, wait_for_end
from worker.cli.options import JsonParameter
from worker.cli.output import console
from worker.cli.queries import no_worker
from worker.cli.streams import OutputLost, json_text
from worker.domain.errors import SubmissionError
from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.store.server import refusal_of
from worker.store.store import Store

TIMED_OUT = 3
INTERRUPTED = 130

DEFAULT_MODEL = {Kind.IMAGE: "nanobanana", Kind.VIDEO: "veo-3.1-fast"}
COUNT_FIELD = {Kind.IMAGE: "numImages", Kind.VIDEO: "numVideos"}


@click.command("submit", cls=HelpCommand)
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.option("--model", help="modelID.  [default: nanobanana for an image, veo-3.1-fast for a video]")
@click.option("--prompt", help="The prompt of an image or a video.")
@click.option("--image", help="imageID of the image to upscale.")
@click.option("--count", type=click.IntRange(1), help="numImages or numVideos.")
@click.option("--request", "body", type=JsonParameter(), help="The whole request; the options above override it.")
@click.option("--webhook-url", help="Receiver of the signed webhooks.")
@click.option("--event", "events", multiple=True, help="An event to send (job.running, …); repeatable.")
@click.option("--metadata", type=JsonParameter(), help="Copied into the outcome and the webhooks.")
@click.option(
    "--deadline", type=float, help="Seconds from the start until the job expires, time in the queue included."
)
@click.option("--delay", type=float, help="Seconds from now until the job starts.")
@click.option("--not-before", help="When the job starts, such as 2026-12-24T18:00:00Z.")
@click.option("--idempotency-key", help="Jobs with the same key and request are triggered once.")
@click.option("--tenant", help="The owner, for fair order where jobs wait for free capacity.")
@click.option("--id", "job_id", help="The job's id.  [default: a new one]")
@click.option("--wait/--no-wait", default=False, help="Show progress until the job ends.  [default: no]")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds that --wait lasts.  [default: until the job ends]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def submit(kind: str, job_id: str | None, timeout: float | None, *, wait: bool, as_json: bool, **options: Any) -> None:
    """Enqueue one job: an image, an upscale, a video or a training.

    Appends the job to the inbox in Redis, which any worker takes over; nothing is lost if workers are killed or none
    runs. Prints the job's id. With --wait, shows progress on standard error and prints the outputs (a URL a line, or
    the model) on standard output. The job continues when the command is interrupted.

    Examples:
      photogpt-worker submit image --prompt "a quiet harbour" --wait
      photogpt-worker submit video --request @video.json --wait --timeout 600

    Exit codes:
      0    enqueued, or succeeded
      1    failed, expired or canceled; or Redis does not answer
      2    invalid arguments; nothing was enqueued
      3    --timeout has passed; the job continues

    Settings: PHOTOGPT_REDIS_URL.
    """
    settings = read_settings()
    arguments = _task_arguments(Kind(kind), **options)
    job_id = job_id or str(uuid.uuid4())
    with connected_store(settings) as store:
        with _reported(job_id):
            entry = _enqueue(store, settings, Kind(kind), job_id, arguments)
            if wait_accepted(store, [entry]):
                click.echo(_why_not_accepted(store), err=True)
            check_accepted(store, job_id)
            if not wait:
                click.echo(json_text({"id": job_id}) if as_json else job_id)
                return
        outcome = _wait(store, job_id, timeout)
    _print_outcome(outcome, as_json=as_json)
    sys.exit(0 if outcome["state"] == JobState.SUCCEEDED else FAILED)


def _enqueue(store: Store, settings: Settings, kind: Kind, job_id: str, arguments: JsonObject) -> str:
    try:
        return enqueue(store, settings, kind, job_id, arguments)
    except ResponseError as error:
        raise CommandError(f"Redis refuses the job: {refusal_of(error) or error}; nothing was enqueued") from None


def _why_not_accepted(store: Store) -> str:
    missing = no_worker(store.fleet.read()) or "no worker has accepted the job yet"
    return f"{missing}; the job waits in the inbox"


@contextmanager
def _reported(job_id: str) -> Iterator[None]:
    """Report the id of a job that is stored, or may be, however the block ends."""
    unknown = f"job {job_id} may be stored or not. Run the command again with --id {job_id}: it is one job, paid once"
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except SubmissionError as error:
        raise CommandError(f"{error}; nothing was enqueued", USAGE) from None
    except RedisError as error:
        raise CommandError(f"Redis did not answer ({error}): {unknown}") from None
    except KeyboardInterrupt:
        raise CommandError(f"interrupted: {unknown}", INTERRUPTED) from None
    except OutputLost:
        click.echo(f"job {job_id} is enqueued", err=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(store: Store, job_id: str, timeout: float | None) -> Outcome:
    continues = f"the job continues: photogpt-worker show {job_id}"
    try:
        with Progress(console(stderr=True), job_id) as progress:
            outcome = wait_for_end(store, job_id, progress, timeout_s=timeout)
    except KeyboardInterrupt:
        raise CommandError(f"stopped waiting; {continues}", INTERRUPTED) from None
    if outcome is None:
        raise CommandError(f"{timeout:g} s have passed; {continues}", TIMED_OUT)
    return outcome


def _print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(outcome, indent=2))
    elif outcome["state"] == JobState.SUCCEEDED:
        urls = [record.get("url") for record in outcome["images"] + outcome["videos"]]
        for line in urls or [outcome["model_id"]]:
            click.echo(line)
    else:
        click.echo(f"{outcome['state']}: {outcome['reason']}: {outcome['error']}", err=True)


def _task_arguments(  # noqa: PLR0913 - the options of the command
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
    delay: float | None,
    not_before: str | None,
    idempotency_key: str | None,
    tenant: str | None,
) -> JsonObject:
    """Return the keyword arguments of the task; `enqueue` validates them."""
    arguments: JsonObject = {
        "request": _request(kind, body, model=model, prompt=prompt, image=image, count=count),
        "webhook_url": webhook_url,
        "webhook_events": list(events) or None,
        "metadata": metadata,
        "deadline_s": deadline,
        "delay_s": delay,
        "not_before": not_before,
        "idempotency_key": idempotency_key,
        "tenant": tenant,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _request(  # noqa: PLR0913 - the options of the command
    kind: Kind, body: JsonObject | None, *, model: str | None, prompt: str | None, image: str | None, count: int | None
) -> JsonObject:
    """Return the body for PhotoGPT: the JSON of --request, overridden by the other options.

    Raises:
        click.UsageError: an option does not fit the kind.
    """
    if kind is Kind.UPSCALE:
        _refuse(kind, {"--model": model, "--prompt": prompt, "--count": count})
    else:
        _refuse(kind, {"--image": image})
    if kind is Kind.TRAINING:
        _refuse(kind, {"--prompt": prompt, "--count": count})
    fields = {"modelID": model, "prompt": prompt, "imageID": image, COUNT_FIELD.get(kind, ""): count}
    request = dict(body or {}) | {name: value for name, value in fields.items() if value is not None}
    if "modelID" not in request and kind in DEFAULT_MODEL:
        request["modelID"] = DEFAULT_MODEL[kind]
    return request


def _refuse(kind: Kind, options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} means nothing for {kind.value}")
