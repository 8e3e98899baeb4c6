"""`photogpt-worker replay`: enqueue afresh what did not succeed."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from worker.cli.context import USAGE, CommandError, connected_client, read_settings
from worker.cli.help import HelpCommand
from worker.cli.queries import recent
from worker.client import Client
from worker.domain.errors import SubmissionError
from worker.domain.job import JobState, JsonObject
from worker.domain.reason import Reason
from worker.domain.times import epoch
from worker.store import keys
from worker.store.connection import Store

MOST = 10_000  # of one search
REPLAYABLE = (JobState.FAILED, JobState.EXPIRED, JobState.CANCELED)
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
REPLAYED_AS = "replayed_as"
"""Field of a record: the job that it was enqueued afresh as, so that a second replay pays for nothing again."""


class Span(click.ParamType[float]):
    """A length of time, such as 90s, 15m, 1h or 2d; in seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds, or say how a time is written."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time; write 90s, 15m, 1h or 2d", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was asked to replay."""

    ids: tuple[str, ...]
    state: JobState | None
    since_s: float
    even_if_paid: bool


@click.command("replay", cls=HelpCommand)
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]…")
@click.option("--state", type=click.Choice([state.value for state in REPLAYABLE]), help="All jobs that ended so.")
@click.option("--since", type=Span(), default="1h", show_default=True, help="With --state: how long ago at most.")
@click.option("--even-if-paid", is_flag=True, help="Also jobs that PhotoGPT may have charged for.")
@click.option("--yes", is_flag=True, help="With --state: do not ask.")
def replay(job_ids: tuple[str, ...], state: str | None, since: float, *, even_if_paid: bool, yes: bool) -> None:
    """Enqueue afresh what failed, expired or was canceled, each as a new job with a new id.

    A new job has the old one's request, metadata, tenant and webhook settings; its deadline is the usual one, and an
    idempotency key stays with the old job. Prints the new ids on standard output, and what was done on standard error.

    What PhotoGPT may have charged for is refused unless --even-if-paid is given: jobs with a generation, and those that
    ended as trigger_uncertain, whose message names the generations to look for. A job is replayed once; if the new one
    does not succeed either, replay that.

    Examples:
      photogpt-worker replay 3f6c…
      photogpt-worker replay --state failed --since 30m

    Exit codes:
      0    everything asked for was enqueued
      1    a job that was named was refused, or Redis is away
      2    the arguments cannot be used

    Settings that matter: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    if bool(job_ids) == bool(state):
        raise CommandError("name the jobs, or say --state; not both", USAGE)
    wanted = Wanted(job_ids, JobState(state) if state else None, since, even_if_paid)
    with connected_client(read_settings()) as client:
        ready, refused = _sorted_out(client.store, wanted)
        for job_id, problem in refused:
            click.echo(f"{job_id}: not replayed: {problem}", err=True)
        if wanted.state and ready and not yes:
            click.confirm(f"Enqueue {len(ready)} jobs afresh? Each costs what it costs.", abort=True, err=True)
        failures = sum(not _enqueue(client, record) for record in ready)
    if wanted.state and not ready:
        click.echo("there is nothing to replay", err=True)
    sys.exit(1 if failures or (wanted.ids and refused) else 0)


def _sorted_out(store: Store, wanted: Wanted) -> tuple[list[JsonObject], list[tuple[str, str]]]:
    """Return the records that may be replayed, and the ids of the others with what is in the way."""
    ready, refused = [], []
    for job_id in dict.fromkeys(wanted.ids or _ended_as(store, wanted)):
        record: Any = store.client.hgetall(keys.job(job_id))
        problem = _in_the_way(store, record, even_if_paid=wanted.even_if_paid)
        if problem is None:
            ready.append(record)
        else:
            refused.append((job_id, problem))
    return ready, refused


def _ended_as(store: Store, wanted: Wanted) -> Iterator[str]:
    oldest = store.clock() - wanted.since_s
    for outcome in recent(store, limit=MOST, state=wanted.state):
        if outcome["finished_at"] and epoch(outcome["finished_at"]) >= oldest:
            yield outcome["id"]


def _in_the_way(store: Store, record: JsonObject, *, even_if_paid: bool) -> str | None:
    """Say why a job must not be enqueued afresh, or None."""
    if not record:
        return "there is no such job; records are kept for a while only"
    if record["state"] not in REPLAYABLE:
        return "it succeeded" if record["state"] == JobState.SUCCEEDED else f"it has not ended: {record['state']}"
    again = record.get(REPLAYED_AS)
    if again and store.jobs.outcome(again):
        return f"it was replayed already, as {again}"
    paid = None if even_if_paid else _charge(store, record)
    return f"{paid}; --even-if-paid replays it all the same" if paid else None


def _charge(store: Store, record: JsonObject) -> str | None:
    """Say what PhotoGPT may have charged for, or None."""
    if record.get("generation_id"):
        return f"PhotoGPT may have charged for its generation {record['generation_id']}"
    if record.get("submitted_at"):
        return "PhotoGPT may have charged for its training"
    asked: Any = store.client.zscore(keys.INTENTS, record["id"])
    if record.get("reason") == Reason.TRIGGER_UNCERTAIN or asked is not None:
        return "PhotoGPT was asked and its answer was lost, so that it may have been charged"
    return None


def _enqueue(client: Client, record: JsonObject) -> bool:
    """Enqueue one job afresh and tell its new id; False if it cannot be."""
    new_id = _new_id(client.store, record["id"])
    try:
        client.submit(record["kind"], json.loads(record["request"]), job_id=new_id, **_options(record))
    except SubmissionError as error:
        client.store.client.hdel(keys.job(record["id"]), REPLAYED_AS)
        click.echo(f"{record['id']}: not replayed: {error}", err=True)
        return False
    click.echo(f"{record['id']} ({record['state']}: {record.get('reason')}) is enqueued afresh as", err=True)
    click.echo(new_id)
    return True


def _new_id(store: Store, job_id: str) -> str:
    """Return the id under which a job is enqueued afresh: always the same one, however often the command is cut off."""
    name = keys.job(job_id)
    store.client.hsetnx(name, REPLAYED_AS, str(uuid.uuid4()))
    chosen: Any = store.client.hget(name, REPLAYED_AS)
    return str(chosen)


def _options(record: JsonObject) -> JsonObject:
    events = list(filter(None, record.get("webhook_events", "").split(",")))
    options = {
        "metadata": json.loads(record["metadata"]) if "metadata" in record else None,
        "webhook_url": record.get("webhook_url"),
        "webhook_events": events or None,
        "tenant": record.get("tenant"),
    }
    return {name: value for name, value in options.items() if value is not None}
