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
}
"""Every command and its one line. Each stands in the module `worker.cli.webhooks_<name>`."""


@click.group("webhooks", cls=LazyCommands, commands_by_name=WEBHOOKS, prefix="webhooks_")
def webhooks() -> None:
    """Webhooks: what was sent, what became of it, and once more.

    Example:
      photogpt-worker webhooks list --state dead

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
