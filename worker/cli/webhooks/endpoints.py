"""`photogpt-worker webhooks endpoints`: how endpoints are."""

from __future__ import annotations

import json

import click
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import clock, console
from worker.domain.job import JsonObject

COLOURS = {"healthy": "green", "failing": "yellow", "broken": "red", "disabled": "bright_black"}


@click.command("endpoints", cls=HelpCommand)
@click.option("--disabled", is_flag=True, help="Only those that are disabled.")
@click.option("--limit", default=50, type=click.IntRange(1, 100_000), show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one endpoint a line, as JSON.")
def webhooks_endpoints(limit: int, *, disabled: bool, as_json: bool) -> None:
    """List endpoints and how they are, those first to which something was sent last.

    An endpoint is a webhook's URL without its query. healthy: the last attempt was taken. failing: it was not. broken:
    five in a row were not, so that nothing is sent for a while. disabled: it answered 410 or webhook-delivery: disable,
    or has only failed for PHOTOGPT_WEBHOOK_DISABLE_AFTER_S; webhooks enable lets it in again.

    Example:
      photogpt-worker webhooks endpoints --disabled

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        found = store.endpoints.listed(limit=limit, disabled=disabled)
    if as_json:
        for endpoint in found:
            click.echo(json.dumps(endpoint, ensure_ascii=False))
    elif found:
        console().print(_table(found))
    else:
        click.echo("no such endpoint", err=True)


def _table(found: list[JsonObject]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("endpoint", "state", "under way", "failures", "since", "why", "URL"):
        numbers = title in {"under way", "failures"}
        table.add_column(title, no_wrap=title in {"endpoint", "state"}, justify="right" if numbers else "left")
    for endpoint in found:
        table.add_row(
            endpoint["id"],
            Text(endpoint["state"], style=COLOURS[endpoint["state"]]),
            f"{endpoint['in_flight']} of {endpoint['limit']}",
            str(endpoint["failures"]),
            clock(endpoint["disabled_at"] or endpoint["failing_since"]),
            endpoint["disabled"] or endpoint["fault"] or "",
            escape(endpoint["url"]),
        )
    return table
