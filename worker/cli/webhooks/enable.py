"""`photogpt-worker webhooks enable`: send to a disabled endpoint again."""

from __future__ import annotations

import click

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand


@click.command("enable", cls=HelpCommand)
@click.argument("endpoint")
def webhooks_enable(endpoint: str) -> None:
    """Send to an endpoint again, and forget that it failed.

    ENDPOINT is its id, ep_…, or a URL that leads to it. What was given up meanwhile stays so: see webhooks recover.

    Example:
      photogpt-worker webhooks enable https://shop.example/hooks

    Exit code 1: nothing was ever sent there, or not lately. Setting that matters: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        found = store.endpoints.find(endpoint)
        if store.endpoints.get(found.id) is None:
            raise CommandError(f"nothing was sent to {endpoint} lately; photogpt-worker webhooks endpoints lists them")
        was_disabled = store.endpoints.enable(found.id)
    done = "is enabled" if was_disabled else "was not disabled; that it failed is forgotten"
    click.echo(f"{found.id} ({found.url}) {done}")
    click.echo(f"photogpt-worker webhooks recover --since 5d --endpoint {found.id} sends what it missed", err=True)
