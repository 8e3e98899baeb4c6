"""`photogpt-worker webhooks resend`: webhooks once more."""

from __future__ import annotations

import sys

import click

from worker.cli.context import connected_client, read_settings
from worker.cli.help import HelpCommand
from worker.domain.errors import WebhookError
from worker.steps.redeliver import resend


@click.command("resend", cls=HelpCommand)
@click.argument("webhook_ids", nargs=-1, required=True, metavar="WEBHOOK_ID…")
def webhooks_resend(webhook_ids: tuple[str, ...]) -> None:
    """Send webhooks once more, whatever became of them, each under its own webhook-id.

    A worker sends within a second or two. An attempt that is made by hand uses up none of the schedule, and a webhook
    that had ended is not tried again by itself if this fails.

    Example:
      photogpt-worker webhooks resend msg_1f0c…

    Exit code 0: all are on their way; 1: one is not known, or its endpoint is disabled.
    Settings that matter: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    failures = 0
    with connected_client(read_settings()) as client:
        for webhook_id in webhook_ids:
            try:
                done = resend(client.store, webhook_id)
            except WebhookError as error:
                failures += 1
                click.echo(str(error), err=True)
            else:
                told = "is being sent just now" if done["answer"] == "in_flight" else "will be sent at once"
                click.echo(f"{webhook_id} {told}")
    sys.exit(1 if failures else 0)
