"""`photogpt-worker webhooks`: the group of commands about webhooks."""

from __future__ import annotations

import click

from worker.cli.lazy import LazyCommands

WEBHOOKS = {
    "list": "List webhooks with their attempts.",
    "show": "Show one webhook: attempts, answers, body.",
    "resend": "Send webhooks once more.",
    "recover": "Send once more what failed since a time.",
    "endpoints": "List endpoints and how they are.",
    "enable": "Send to a disabled endpoint again.",
    "keys": "Print the public keys; make a fresh key.",
    "listen": "Be a receiver in this terminal: print every event that is verified.",
    "test": "Send one signed test event to a receiver, and explain what went wrong.",
}
"""Every command and its one line. Each stands in `worker.cli.webhooks_<name>`, as `webhooks_<name>`."""


@click.group("webhooks", cls=LazyCommands, commands_by_name=WEBHOOKS, prefix="webhooks_")
def webhooks() -> None:
    """Webhooks: what was sent, what became of it, and once more; a receiver in this terminal, and a test of yours.

    What receivers must do, and examples for FastAPI, Flask, Django and Express: ops/receivers/.

    Example:
      photogpt-worker webhooks list --state dead
      photogpt-worker webhooks listen
      photogpt-worker webhooks test https://shop.example/webhooks

    Settings that matter: PHOTOGPT_REDIS_URL, PHOTOGPT_WEBHOOK_SECRETS, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS.
    """
