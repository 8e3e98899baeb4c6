"""`photogpt-worker webhooks`: the group of commands about webhooks."""

from __future__ import annotations

import click

from worker.cli.help import Entry, LazyGroup

WEBHOOKS = {
    "list": Entry("worker.cli.webhooks.history:webhooks_list", "List webhooks and their attempts."),
    "show": Entry("worker.cli.webhooks.history:webhooks_show", "Show one webhook: attempts, answers, body."),
    "resend": Entry("worker.cli.webhooks.resend:webhooks_resend", "Send webhooks again."),
    "recover": Entry("worker.cli.webhooks.resend:webhooks_recover", "Send again what failed since a time."),
    "endpoints": Entry("worker.cli.webhooks.endpoints:webhooks_endpoints", "List endpoints and their health."),
    "enable": Entry("worker.cli.webhooks.endpoints:webhooks_enable", "Send to a disabled endpoint again."),
    "keys": Entry("worker.cli.webhooks.keys:webhooks_keys", "Print the public keys, or make a new key."),
    "listen": Entry("worker.cli.webhooks.listen:webhooks_listen", "Run a receiver here; print every verified event."),
    "test": Entry("worker.cli.webhooks.test:webhooks_test", "Send one signed test event; explain a failure."),
}
"""Every command of the group."""


@click.group("webhooks", cls=LazyGroup, entries=WEBHOOKS)
def webhooks() -> None:
    """List webhooks and send them again; manage endpoints and keys; run and test receivers.

    ops/receivers/ says what a receiver must do, with examples for FastAPI, Flask, Django and Express.

    Example:
      photogpt-worker webhooks list --state dead
      photogpt-worker webhooks listen
      photogpt-worker webhooks test https://shop.example/webhooks

    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_WEBHOOK_SECRETS, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS.
    """
