"""`photogpt-worker webhooks endpoints` and `webhooks enable`: the health of endpoints."""

from __future__ import annotations

import click

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, local_time
from worker.cli.rows import print_rows
from worker.cli.streams import json_text
from worker.domain.job import JsonObject

COLUMNS = ("endpoint", "state", "in flight", "failures", "since", "reason", "URL")
NUMBERS = {"in flight", "failures"}


@click.command("endpoints", cls=HelpCommand)
@click.option("--disabled", is_flag=True, help="Only disabled endpoints.")
@click.option("--limit", default=50, type=click.IntRange(1, 100_000), show_default=True, help="Maximum number.")
@click.option("--json", "as_json", is_flag=True, help="Print one endpoint a line, as JSON.")
def webhooks_endpoints(limit: int, *, disabled: bool, as_json: bool) -> None:
    """List endpoints and their health, those with the newest attempts first.

    An endpoint is a webhook's URL without its query. healthy: the last attempt was accepted. failing: the last attempt
    failed. circuit_open: nothing is sent for a while, after five failures in a row. disabled: the receiver answered
    410 or webhook-delivery: disable, or every attempt failed for PHOTOGPT_WEBHOOK_DISABLE_AFTER_S; `webhooks enable`
    enables it again.

    Example:
      photogpt-worker webhooks endpoints --disabled

    Settings: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        found = store.endpoints.listed(limit=limit, disabled=disabled)
    if as_json:
        for endpoint in found:
            click.echo(json_text(endpoint))
    elif found:
        print_rows(console(), COLUMNS, map(_row, found), numbers=NUMBERS)
    else:
        click.echo("no endpoint is disabled" if disabled else "no endpoint yet", err=True)


def _row(endpoint: JsonObject) -> tuple[str, ...]:
    return (
        endpoint["id"],
        endpoint["state"],
        f"{endpoint['in_flight']} of {endpoint['limit']}",
        str(endpoint["failures"]),
        local_time(endpoint["disabled_at"] or endpoint["failing_since"]),
        endpoint["disabled"] or endpoint["fault"] or "",
        endpoint["url"],
    )


@click.command("enable", cls=HelpCommand)
@click.argument("endpoint")
def webhooks_enable(endpoint: str) -> None:
    """Send to a disabled endpoint again, and forget its failures.

    ENDPOINT is its id, ep_…, or a URL. Webhooks that ended as dead stay so; `webhooks recover` sends them.

    Example:
      photogpt-worker webhooks enable https://shop.example/hooks

    Exit code 1: nothing was sent to this endpoint recently. Settings: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        found = store.endpoints.find(endpoint)
        if store.endpoints.get(found.id) is None:
            raise CommandError(f"nothing was sent to {endpoint} recently; `webhooks endpoints` lists the endpoints")
        was_disabled = store.endpoints.enable(found.id)
    done = "is enabled" if was_disabled else "was not disabled; its failures are forgotten"
    click.echo(f"{found.id} ({found.url}) {done}")
    click.echo(f"photogpt-worker webhooks recover --since 5d --endpoint {found.id} sends what it missed", err=True)
