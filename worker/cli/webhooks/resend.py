"""`photogpt-worker webhooks resend` and `webhooks recover`: send webhooks again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from config.settings import Settings
from worker.cli.context import FAILED, connected_store, producer, read_settings
from worker.cli.help import HelpCommand
from worker.cli.options import Duration
from worker.cli.output import counted
from worker.cli.streams import json_text
from worker.domain.errors import WebhookError
from worker.queue.publisher import CeleryPublisher
from worker.steps.redeliver import MAX_DELIVERIES, PER_S, recover, resend
from worker.store.store import Store


@click.command("resend", cls=HelpCommand)
@click.argument("webhook_ids", nargs=-1, required=True, metavar="WEBHOOK_ID…")
def webhooks_resend(webhook_ids: tuple[str, ...]) -> None:
    """Send webhooks again, whatever their state, each under its own webhook-id.

    A worker sends them within a second or two. A manual attempt counts as none of the ten scheduled attempts. If the
    webhook had ended, a failed manual attempt is not retried.

    Example:
      photogpt-worker webhooks resend msg_1f0c…

    Exit code 0: every webhook is being sent; 1: one is unknown, or its endpoint is disabled.
    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    failures = 0
    with _store(read_settings()) as store:
        for webhook_id in webhook_ids:
            try:
                done = resend(store, webhook_id)
            except WebhookError as error:
                failures += 1
                click.echo(str(error), err=True)
            else:
                when = "an attempt is in flight" if done["answer"] == "in_flight" else "will be sent at once"
                click.echo(f"{webhook_id} {when}")
    sys.exit(FAILED if failures else 0)


@click.command("recover", cls=HelpCommand)
@click.option("--since", type=Duration(), required=True, help="Webhooks that failed within this time: 15m, 2h, 3d.")
@click.option("--endpoint", help="Only webhooks to this endpoint: its id, or a URL.")
@click.option(
    "--limit", default=MAX_DELIVERIES, type=click.IntRange(1, MAX_DELIVERIES), show_default=True, help="Maximum number."
)
@click.option("--per-second", default=PER_S, type=click.FloatRange(0.1, 1000), show_default=True, help="Rate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def webhooks_recover(since: float, endpoint: str | None, limit: int, per_second: float, *, as_json: bool) -> None:
    """Send again the webhooks that ended as dead since a time, and those that failed and wait for their next attempt.

    Use it after a receiver was down. The oldest webhooks are sent first, at the given rate. A webhook that fails again
    keeps its state and schedule. A second run sends no webhook that was accepted since. Disabled endpoints are left
    out.

    Example:
      photogpt-worker webhooks recover --since 2h --endpoint https://shop.example/

    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    with _store(read_settings()) as store:
        endpoint_id = store.endpoints.find(endpoint).id if endpoint else None
        since_s = store.clock() - since
        done = recover(store, since=since_s, endpoint=endpoint_id, limit=limit, per_s=per_second)
    if as_json:
        click.echo(json_text(done))
        return
    sent = f"{counted(done['resent'], 'webhook', 'webhooks')} will be sent, over {done['takes_s']:g} s"
    click.echo(sent if done["resent"] else "no webhook will be sent again")
    if done["disabled"]:
        left_out = counted(done["disabled"], "webhook is", "webhooks are")
        click.echo(f"{left_out} left out, since the endpoint is disabled (webhooks enable)", err=True)
    if done["more"]:
        click.echo("there are more; run the command again when these are sent", err=True)


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    """Open the store, with a publisher: a worker then sends at once what is due."""
    with producer(settings) as app, connected_store(settings, publish_tick=CeleryPublisher(app).publish_tick) as store:
        yield store
