"""`photogpt-worker webhooks`: what concerns receivers. Each command's module is imported when it is asked for."""

from __future__ import annotations

import click

from worker.cli.lazy import LazyCommands

WEBHOOKS = {
    "listen": "Be a receiver in this terminal: print every event that is verified.",
    "test": "Send one signed test event to a receiver, and explain what went wrong.",
}
"""Every command and its one line. Each stands in `worker.cli.webhooks_<name>`, as `webhooks_<name>`."""


@click.group("webhooks", cls=LazyCommands, commands_by_name=WEBHOOKS, prefix="webhooks_")
def webhooks() -> None:
    """Receive webhooks in a terminal, and try out a receiver.

    What receivers must do, and examples for FastAPI, Flask, Django and Express: ops/receivers/.

    Example:
      photogpt-worker webhooks listen --port 8800
      photogpt-worker webhooks test http://127.0.0.1:8800/

    Settings that matter: PHOTOGPT_WEBHOOK_SECRETS, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS.
    """
