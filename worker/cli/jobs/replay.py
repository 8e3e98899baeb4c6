"""`photogpt-worker replay`: enqueue jobs again that did not succeed."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import click

from config.settings import Settings
from worker.cli.context import FAILED, USAGE, CommandError, connected_store, read_settings
from worker.cli.enqueue import enqueue, wait_accepted
from worker.cli.help import HelpCommand
from worker.cli.options import Duration
from worker.cli.output import counted
from worker.cli.queries import recent_outcomes
from worker.domain.errors import SubmissionError
from worker.domain.job import JobState, JsonObject, Kind
from worker.domain.reason import Reason
from worker.domain.times import epoch
from worker.store.store import Store

MAX_JOBS = 10_000
REPLAYABLE = (JobState.FAILED, JobState.EXPIRED, JobState.CANCELED)

FILE_ANSWERS = {
    "scheduled": "its files are stored again",
    "waiting": "its files are being stored already",
    "stored": "not done: every file is stored",
    "no_outputs": "not done: it has no images and no videos",
    "not_succeeded": "not done: it has not succeeded",
    "unknown": "not done: there is no such job, or its record has expired",
}
"""What is printed for each answer of the store."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that the command was asked to replay."""

    ids: tuple[str, ...]
    state: JobState | None
    since_s: float
    even_if_paid: bool


@click.command("replay", cls=HelpCommand)
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]…")
@click.option("--state", type=click.Choice([state.value for state in REPLAYABLE]), help="All jobs in this state.")
@click.option("--since", type=Duration(), default="1h", show_default=True, help="With --state: ended within this time.")
@click.option("--even-if-paid", is_flag=True, help="Also jobs that PhotoGPT may have charged for.")
@click.option("--files", "only_files", is_flag=True, help="Store again the files of jobs that succeeded.")
@click.option("--yes", is_flag=True, help="With --state: do not ask.")
def replay(  # noqa: PLR0913 - one parameter for each option
    job_ids: tuple[str, ...], state: str | None, since: float, *, even_if_paid: bool, only_files: bool, yes: bool
) -> None:
    """Enqueue failed, expired or canceled jobs again, each as a new job with a new id.

    A new job has the request, metadata, tenant and webhook settings of the old one. Its deadline is the default, and
    it has no idempotency key. The command prints the new ids on standard output, and explanations on standard error.

    Jobs that PhotoGPT may have charged for are refused without --even-if-paid: jobs with a generation, and jobs that
    ended as trigger_uncertain, whose error names the generations to check. A job can be replayed once; if the new job
    does not succeed either, replay the new one.

    With --files, PhotoGPT generates nothing: workers download and store the images and videos of named jobs that are
    not stored, and the event job.stored follows.

    Examples:
      photogpt-worker replay 3f6c…
      photogpt-worker replay --files 3f6c…
      photogpt-worker replay --state failed --since 30m

    Exit codes:
      0    every job was enqueued
      1    a named job was refused, or Redis does not answer
      2    invalid arguments

    Settings: PHOTOGPT_REDIS_URL.
    """
    if only_files:
        sys.exit(_store_again(job_ids, state))
    if bool(job_ids) == bool(state):
        raise CommandError("give job ids or --state, one of the two", USAGE)
    selection = Selection(job_ids, JobState(state) if state else None, since, even_if_paid)
    settings = read_settings()
    with connected_store(settings) as store:
        ready, refused = _select(store, selection)
        for job_id, problem in refused:
            click.echo(f"{job_id}: not replayed: {problem}", err=True)
        if state and ready and not yes:
            question = f"Enqueue {counted(len(ready), 'job', 'jobs')} again? Each is charged as usual."
            click.confirm(question, abort=True, err=True)
        entries = [_enqueue(store, settings, record) for record in ready]
        if left := wait_accepted(store, filter(None, entries)):
            click.echo(f"no worker has accepted {left} of them yet; they wait in the inbox until one runs", err=True)
    if state and not ready:
        click.echo("there is nothing to replay", err=True)
    sys.exit(FAILED if None in entries or (job_ids and refused) else 0)


def _store_again(job_ids: tuple[str, ...], state: str | None) -> int:
    """Let workers store the files of jobs again; return the exit code."""
    if not job_ids or state:
        raise CommandError("give the ids of the jobs whose files to store again, without --state", USAGE)
    settings, refused = read_settings(), 0
    if settings.outputs is None:
        raise CommandError("PHOTOGPT_OUTPUTS is not set; set it to the bucket or folder that the workers use", USAGE)
    with connected_store(settings) as store:
        for job_id in dict.fromkeys(job_ids):
            answer = store.files.store_again(job_id)
            refused += answer not in {"scheduled", "waiting"}
            click.echo(f"{job_id}: {FILE_ANSWERS[answer]}", err=answer != "scheduled")
    return FAILED if refused else 0


def _select(store: Store, selection: Selection) -> tuple[list[JsonObject], list[tuple[str, str]]]:
    """Return the records that may be replayed, and the ids of the other jobs with the reason."""
    ready, refused = [], []
    for job_id in dict.fromkeys(selection.ids or _ended(store, selection)):
        record = store.job_history.record(job_id)
        problem = _problem(store, record, even_if_paid=selection.even_if_paid)
        if problem is None:
            ready.append(record)
        else:
            refused.append((job_id, problem))
    return ready, refused


def _ended(store: Store, selection: Selection) -> Iterator[str]:
    since = store.clock() - selection.since_s
    for outcome in recent_outcomes(store, limit=MAX_JOBS, state=selection.state):
        if outcome["finished_at"] and epoch(outcome["finished_at"]) >= since:
            yield outcome["id"]


def _problem(store: Store, record: JsonObject, *, even_if_paid: bool) -> str | None:
    """Return why a job must not be replayed, or None."""
    if not record:
        return "there is no such job, or its record has expired"
    if record["state"] not in REPLAYABLE:
        return "it succeeded" if record["state"] == JobState.SUCCEEDED else f"it has not ended: {record['state']}"
    replayed_as = record.get("replayed_as")
    if replayed_as and store.jobs.outcome(replayed_as):
        return f"it was replayed before, as {replayed_as}"
    charge = None if even_if_paid else _possible_charge(store, record)
    return f"{charge}; --even-if-paid replays it anyway" if charge else None


def _possible_charge(store: Store, record: JsonObject) -> str | None:
    """Return what PhotoGPT may have charged for, or None."""
    if record.get("generation_id"):
        return f"PhotoGPT may have charged for its generation {record['generation_id']}"
    if record.get("submitted_at"):
        return "PhotoGPT may have charged for its training"
    if record.get("reason") == Reason.TRIGGER_UNCERTAIN or store.job_history.has_unresolved_intent(record["id"]):
        return "PhotoGPT may have charged for it: the answer to its trigger was lost"
    return None


def _enqueue(store: Store, settings: Settings, record: JsonObject) -> str | None:
    """Enqueue one job again, print its new id and return its entry; None if its arguments are invalid."""
    new_id = store.job_history.choose_replay(record["id"]) or str(uuid.uuid4())
    try:
        kind, trace = Kind(record["kind"]), record.get("traceparent")
        entry = enqueue(store, settings, kind, new_id, _arguments(record), traceparent=trace)
    except SubmissionError as error:
        store.job_history.withdraw_replay(record["id"])
        click.echo(f"{record['id']}: not replayed: {error}", err=True)
        return None
    click.echo(f"{record['id']} ({record['state']}: {record.get('reason')}) is enqueued again as", err=True)
    click.echo(new_id)
    return entry


def _arguments(record: JsonObject) -> JsonObject:
    events = list(filter(None, record.get("webhook_events", "").split(",")))
    options = {
        "request": json.loads(record["request"]),
        "metadata": json.loads(record["metadata"]) if "metadata" in record else None,
        "webhook_url": record.get("webhook_url"),
        "webhook_events": events or None,
        "tenant": record.get("tenant"),
    }
    return {name: value for name, value in options.items() if value is not None}
