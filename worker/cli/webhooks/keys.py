"""`photogpt-worker webhooks keys`: public keys, and fresh keys."""

from __future__ import annotations

from typing import Literal

import click

from config.secrets import new_webhook_secret, public_key, signing_key
from worker.cli.context import read_settings
from worker.cli.help import HelpCommand


@click.command("keys", cls=HelpCommand)
@click.option("--new", type=click.Choice(["hmac", "ed25519"]), help="Make a fresh key and print it: a secret.")
def webhooks_keys(new: Literal["hmac", "ed25519"] | None) -> None:
    """Print the public keys with which receivers verify, or make a fresh key. Secrets of the settings are not printed.

    An ed25519 key (whsk_…) stays here, and receivers get its public key (whpk_…). A shared secret (whsec_…) has to be
    known to both. To change a key put the new one beside the old one, tell the receivers, and take the old one away;
    as long as both stand there, every webhook is signed by both.

    Examples:
      photogpt-worker webhooks keys
      photogpt-worker webhooks keys --new ed25519 >> secrets/webhooks

    Setting that matters: PHOTOGPT_WEBHOOK_SECRETS.
    """
    if new:
        made = new_webhook_secret(new)
        click.echo(made)
        key = signing_key(made)
        if not isinstance(key, bytes):
            click.echo(f"its public key: {public_key(key)}", err=True)
        return
    keys = [signing_key(secret.get_secret_value()) for secret in read_settings().webhook_secrets]
    for key in keys:
        if not isinstance(key, bytes):
            click.echo(public_key(key))
    shared = sum(isinstance(key, bytes) for key in keys)
    if shared or not keys:
        told = f"{shared} shared secrets sign, too" if keys else "there is no key: webhooks are not signed"
        click.echo(told, err=True)
