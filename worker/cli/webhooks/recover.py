"""`photogpt-worker webhooks recover`: once more what failed since a time."""

from __future__ import annotations

import json

import click

from worker.cli.context import connected_client, read_settings
from worker.cli.help import HelpCommand
from worker.cli.jobs.replay import Span
from worker.steps.redeliver import MOST, PER_S, recover


@click.command("recover", cls=HelpCommand)
@click.option("--since", type=Span(), required=True, help="How long ago at most they were given up: 15m, 2h, 3d.")
@click.option("--endpoint", help="Only those to an endpoint: its id, or a URL.")
@click.option("--limit", default=MOST, type=click.IntRange(1, MOST), show_default=True, help="How many at most.")
@click.option("--per-second", default=PER_S, type=click.FloatRange(0.1, 1000), show_default=True, help="How fast.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def webhooks_recover(since: float, endpoint: str | None, limit: int, per_second: float, *, as_json: bool) -> None:
    """Send once more what was given up since a time, and what failed and waits for its next attempt.

    For the hour after a receiver was down. Those that waited longest go first, spread over time; what fails again stays
    where it was. Run it again and nothing is sent that was taken meanwhile. Disabled endpoints are left out.

    Example:
      photogpt-worker webhooks recover --since 2h --endpoint https://shop.example/hooks

    Settings that matter: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    with connected_client(read_settings()) as client:
        store = client.store
        found = store.endpoints.find(endpoint).id if endpoint else None
        oldest = store.clock() - since
        done = recover(store, since=oldest, endpoint=found, limit=limit, per_s=per_second)
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(f"{done['resent']} webhooks are sent once more, over {done['takes_s']:g} s")
    if done["disabled"]:
        click.echo(f"{done['disabled']} are left out: their endpoint is disabled (webhooks enable)", err=True)
    if done["more"]:
        click.echo("there are more; run it again when these are through", err=True)
