"""`photogpt-worker webhooks list`: webhooks with their attempts."""

from __future__ import annotations

import json

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.jobs.replay import Span
from worker.cli.output import clock, console, state
from worker.domain.job import JsonObject
from worker.store.history import STATES


@click.command("list", cls=HelpCommand)
@click.option("--state", "wanted", type=click.Choice(STATES), help="Only these.")
@click.option("--job", help="Only those of a job.")
@click.option("--endpoint", help="Only those to an endpoint: its id, or a URL.")
@click.option("--since", type=Span(), help="Only those to which something happened so long ago at most: 90s, 15m, 2d.")
@click.option("--limit", default=20, type=click.IntRange(1, 100_000), show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one webhook a line, as JSON.")
def webhooks_list(  # noqa: PLR0913 - the options of the command
    wanted: str | None, job: str | None, endpoint: str | None, since: float | None, limit: int, *, as_json: bool
) -> None:
    """List webhooks with their attempts.

    Ended webhooks are kept for PHOTOGPT_RETENTION_S, and PHOTOGPT_WEBHOOK_HISTORY_MAX of them at most.

    Example:
      photogpt-worker webhooks list --state dead --since 2h

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        oldest = store.clock() - since if since else 0.0
        found_id = store.endpoints.find(endpoint).id if endpoint else None
        found = store.deliveries.listed(state=wanted, endpoint=found_id, job=job, since=oldest, limit=limit)
    if as_json:
        for webhook in found:
            click.echo(json.dumps(webhook, ensure_ascii=False))
    elif found:
        console().print(_table(found))
    else:
        click.echo("no such webhook", err=True)


def _table(found: list[JsonObject]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("webhook", "event", "state", "tries", "last", "what happened", "to"):
        table.add_column(title, no_wrap=title in {"webhook", "state"}, justify="right" if title == "tries" else "left")
    for webhook in found:
        last = webhook["attempts"][-1] if webhook["attempts"] else {}
        told = f"{last.get('fault') or 'taken'} {last.get('status') or ''}".strip() if last else ""
        table.add_row(
            webhook["id"],
            webhook["type"],
            state(webhook["state"]),
            str(len(webhook["attempts"])),
            clock(last.get("at")),
            told,
            escape(webhook["url"]),
        )
    return table
