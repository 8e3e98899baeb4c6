"""`photogpt-worker jobs`: recent jobs."""

from __future__ import annotations

import json

import click

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.jobs.table import jobs_table
from worker.cli.output import console
from worker.cli.queries import recent
from worker.domain.job import JobState, Kind


@click.command("jobs", cls=HelpCommand)
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only these.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these.")
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one outcome a line, as JSON.")
def jobs(state: str | None, kind: str | None, limit: int, *, as_json: bool) -> None:
    """List jobs, those first to which something happened last.

    Reads the service-wide event stream, which keeps the last PHOTOGPT_EVENTS_MAX_LENGTH events, and the records, which
    stay for PHOTOGPT_RETENTION_S after a job's end.

    Example:
      photogpt-worker jobs --state failed --limit 5

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
    settings = read_settings()
    with connected_store(settings) as store:
        found = recent(store, limit=limit, state=JobState(state) if state else None, kind=Kind(kind) if kind else None)
        now = store.clock()
    if as_json:
        for outcome in found:
            click.echo(json.dumps(outcome, ensure_ascii=False))
    elif found:
        out = console()
        out.print(jobs_table(found, now=now, width=out.width))
    else:
        click.echo("no such job" if state or kind else "no job yet: photogpt-worker submit image --prompt …", err=True)
