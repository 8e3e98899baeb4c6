"""`photogpt-worker jobs`: recent jobs as a table, which `watch` shows as well."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich import box
from rich.console import RenderableType
from rich.table import Table

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, counted, local_time, plain, seconds_between
from worker.cli.output import state as state_text
from worker.cli.queries import no_worker, recent_outcomes
from worker.cli.streams import json_text
from worker.domain.job import JobState, Kind
from worker.domain.outcome import Outcome
from worker.domain.times import rfc3339
from worker.store.fleet import FleetState

COLUMNS = {"job": 36, "kind": 8, "state": 9, "seconds": 7, "polls": 5}
"""Columns of every table, each with its minimum width."""

NUMBERS = {"seconds", "polls"}

MIN_WIDTH = 79
"""Width of the screen below which the table shows the state and the id only."""

WIDE = 110
"""Width of the screen from which on the table shows two more columns."""


@click.command("jobs", cls=HelpCommand)
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only jobs in this state.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only jobs of this kind.")
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), show_default=True, help="Maximum number of jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print one outcome a line, as JSON.")
def jobs(state: str | None, kind: str | None, limit: int, *, as_json: bool) -> None:
    """List jobs, those with the newest events first. Says on standard error if no worker runs.

    Reads the service-wide event stream, which keeps the last PHOTOGPT_EVENTS_MAX_LENGTH events, and the records, which
    stay for PHOTOGPT_RETENTION_S after a job's end.

    Example:
      photogpt-worker jobs --state failed --limit 5

    Settings: PHOTOGPT_REDIS_URL.
    """
    wanted_state, wanted_kind = JobState(state) if state else None, Kind(kind) if kind else None
    with connected_store(read_settings()) as store:
        found = recent_outcomes(store, limit=limit, state=wanted_state, kind=wanted_kind)
        now = store.clock()
        fleet = store.fleet.read()
    if as_json:
        for outcome in found:
            click.echo(json_text(outcome))
    elif found:
        out = console()
        out.print(jobs_table(found, now=now, width=out.width))
    else:
        hint = "no job yet: photogpt-worker submit image --prompt …"
        click.echo("no job matches" if state or kind else hint, err=True)
    _print_missing(fleet)


def _print_missing(fleet: FleetState) -> None:
    """Say on standard error why jobs may be missing from the list, or stand still."""
    if missing := no_worker(fleet):
        click.echo(missing, err=True)
    if fleet.inbox_entries:
        click.echo(f"{counted(fleet.inbox_entries, 'new job waits', 'new jobs wait')} in the inbox", err=True)


def jobs_table(outcomes: Iterable[Outcome], *, now: float, width: int) -> Table:
    """Return a table of jobs.

    Args:
        outcomes: of the jobs, final or not.
        now: epoch seconds by Redis' clock.
        width: columns of the screen.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    if width < MIN_WIDTH:
        return _narrow(table, outcomes)
    for title, min_width in COLUMNS.items():
        table.add_column(title, no_wrap=True, min_width=min_width, justify="right" if title in NUMBERS else "left")
    if width >= WIDE:
        table.add_column("created", no_wrap=True, min_width=8)
        table.add_column("details", overflow="ellipsis", no_wrap=True)
    for outcome in outcomes:
        table.add_row(*_row(outcome, now)[: len(table.columns)])
    return table


def _narrow(table: Table, outcomes: Iterable[Outcome]) -> Table:
    table.add_column("state", no_wrap=True)
    table.add_column("job", overflow="fold")
    for outcome in outcomes:
        table.add_row(state_text(outcome["state"]), plain(outcome["id"]))
    return table


def _row(outcome: Outcome, now: float) -> tuple[RenderableType, ...]:
    seconds = seconds_between(outcome["created_at"], outcome["finished_at"] or rfc3339(now))
    return (
        plain(outcome["id"]),
        outcome["kind"],
        state_text(outcome["state"]),
        f"{seconds:.1f}" if seconds is not None else "",
        str(outcome["polls"]),
        local_time(outcome["created_at"]),
        plain(details(outcome)),
    )


def details(outcome: Outcome) -> str:
    """Return the reason of a job, else its first output, else its id at PhotoGPT."""
    if outcome["reason"]:
        return f"{outcome['reason']}: {outcome['error'] or ''}"
    records = outcome["images"] or outcome["videos"]
    if records:
        more = f" and {len(records) - 1} more" if len(records) > 1 else ""
        return f"{records[0].get('url')}{more}"
    return str(outcome["generation_id"] or outcome["model_id"] or "")
