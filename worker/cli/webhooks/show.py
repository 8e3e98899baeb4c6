"""`photogpt-worker webhooks show`: all that is known of one webhook."""

from __future__ import annotations

import json

import click
from rich.markup import escape

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import clock, console, state


@click.command("show", cls=HelpCommand)
@click.argument("webhook_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def webhooks_show(webhook_id: str, *, as_json: bool) -> None:
    """Show one webhook: every attempt with how its answer began, when the next one is, and the body.

    WEBHOOK_ID is the webhook-id that receivers get, msg_….

    Example:
      photogpt-worker webhooks show msg_1f0c… --json

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        found = store.deliveries.get(webhook_id)
    if found is None:
        raise CommandError(f"there is no webhook {webhook_id}; ended ones are kept for a while only")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    out = console()
    out.print(state(found["state"]).append(f"  {found['type']} to {found['url']}", style=""), soft_wrap=True)
    out.print(f"job {escape(found['job'])}, endpoint {found['endpoint']}", soft_wrap=True)
    for attempt in found["attempts"]:
        told = attempt.get("error") or f"taken in {attempt.get('duration_ms')} ms"
        by_hand = " by hand" if attempt.get("trigger") == "manual" else ""
        out.print(f"  {clock(attempt['at'])}  attempt {attempt['number']}{by_hand}: {escape(told)}", soft_wrap=True)
        answer = attempt.get("answer") or attempt.get("answer_base64")
        if answer:
            out.print(f"    {escape(json.dumps(answer, ensure_ascii=False))}", soft_wrap=True)
    if found["next_attempt_at"]:
        out.print(f"  {clock(found['next_attempt_at'])}  next attempt")
    click.echo(json.dumps(found["body"], indent=2, ensure_ascii=False))
