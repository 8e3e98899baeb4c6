"""`photogpt-worker webhooks keys`: the public keys, or a new key."""

from __future__ import annotations

from typing import Literal

import click

from config.webhook_keys import new_webhook_secret, public_key, signing_key
from worker.cli.context import read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import counted


@click.command("keys", cls=HelpCommand)
@click.option("--new", "kind", type=click.Choice(["hmac", "ed25519"]), help="Make a new secret key and print it.")
def webhooks_keys(kind: Literal["hmac", "ed25519"] | None) -> None:
    """Print the public keys with which receivers verify webhooks, or make a new key. Prints no secret of the settings.

    An ed25519 key (whsk_…) stays with the workers; receivers get its public key (whpk_…). A shared secret (whsec_…)
    must be known to both. To change a key, put the new key beside the old one, give it to the receivers, and remove the
    old one later; until then every webhook carries both signatures.

    Examples:
      photogpt-worker webhooks keys
      photogpt-worker webhooks keys --new ed25519 >> secrets/webhooks

    Settings: PHOTOGPT_WEBHOOK_SECRETS.
    """
    if kind:
        _print_new(kind)
    else:
        _print_public()


def _print_new(kind: Literal["hmac", "ed25519"]) -> None:
    made = new_webhook_secret(kind)
    click.echo(made)
    key = signing_key(made)
    if not isinstance(key, bytes):
        click.echo(f"its public key: {public_key(key)}", err=True)


def _print_public() -> None:
    keys = [signing_key(secret.get_secret_value()) for secret in read_settings().webhook_secrets]
    for key in keys:
        if not isinstance(key, bytes):
            click.echo(public_key(key))
    shared = sum(isinstance(key, bytes) for key in keys)
    if not keys:
        click.echo("PHOTOGPT_WEBHOOK_SECRETS is not set: webhooks are not signed", err=True)
    elif shared:
        click.echo(f"webhooks are also signed with {counted(shared, 'shared secret', 'shared secrets')}", err=True)
