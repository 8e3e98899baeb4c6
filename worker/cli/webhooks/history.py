"""`photogpt-worker webhooks list` and `webhooks show`: webhooks and their attempts."""

from __future__ import annotations

import click
from rich.console import Console

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.options import Duration
from worker.cli.output import console, local_time, plain, printable
from worker.cli.output import state as state_text
from worker.cli.rows import print_rows
from worker.cli.streams import json_text
from worker.domain.job import JsonObject
from worker.store.delivery_history import STATES

COLUMNS = ("webhook", "event", "state", "attempts", "last attempt", "result", "URL")


@click.command("list", cls=HelpCommand)
@click.option("--state", type=click.Choice(STATES), help="Only webhooks in this state.")
@click.option("--job", help="Only webhooks of this job.")
@click.option("--endpoint", help="Only webhooks to this endpoint: its id, or a URL.")
@click.option("--since", type=Duration(), help="Only webhooks created or attempted within this time: 90s, 15m, 2d.")
@click.option("--limit", default=20, type=click.IntRange(1, 100_000), show_default=True, help="Maximum number.")
@click.option("--json", "as_json", is_flag=True, help="Print one webhook a line, as JSON.")
def webhooks_list(  # noqa: PLR0913 - the options of the command
    state: str | None, job: str | None, endpoint: str | None, since: float | None, limit: int, *, as_json: bool
) -> None:
    """List webhooks and their attempts.

    Webhooks that ended are kept for PHOTOGPT_RETENTION_S, and at most PHOTOGPT_WEBHOOK_HISTORY_MAX of them.

    Example:
      photogpt-worker webhooks list --state dead --since 2h

    Settings: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        since_s = store.clock() - since if since else 0.0
        endpoint_id = store.endpoints.find(endpoint).id if endpoint else None
        found = store.delivery_history.listed(state=state, endpoint=endpoint_id, job=job, since=since_s, limit=limit)
    if as_json:
        for webhook in found:
            click.echo(json_text(webhook))
    elif found:
        print_rows(console(), COLUMNS, map(_row, found), numbers={"attempts"})
    else:
        click.echo("no webhook matches" if state or endpoint or job or since else "no webhook yet", err=True)


def _row(webhook: JsonObject) -> tuple[str, ...]:
    last = webhook["attempts"][-1] if webhook["attempts"] else {}
    return (
        webhook["id"],
        webhook["type"],
        webhook["state"],
        str(len(webhook["attempts"])),
        local_time(last.get("at")),
        f"{last.get('fault') or 'accepted'} {last.get('status') or ''}".strip() if last else "",
        webhook["url"],
    )


@click.command("show", cls=HelpCommand)
@click.argument("webhook_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def webhooks_show(webhook_id: str, *, as_json: bool) -> None:
    """Show one webhook: every attempt with the start of the receiver's answer, the next attempt, and the body.

    WEBHOOK_ID is the webhook-id that receivers get, msg_….

    Example:
      photogpt-worker webhooks show msg_1f0c… --json

    Settings: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        found = store.delivery_history.get(webhook_id)
    if found is None:
        raise CommandError(f"there is no webhook {webhook_id}, or its record has expired")
    if as_json:
        click.echo(json_text(found, indent=2))
    else:
        _print_webhook(found, console())


def _print_webhook(found: JsonObject, out: Console) -> None:
    out.print(
        state_text(found["state"]).append(f"  {found['type']} to {printable(found['url'])}", style=""), soft_wrap=True
    )
    out.print(f"job {plain(found['job'])}, endpoint {found['endpoint']}", soft_wrap=True)
    for attempt in found["attempts"]:
        _print_attempt(attempt, out)
    if found["next_attempt_at"]:
        out.print(f"  {local_time(found['next_attempt_at'])}  next attempt")
    click.echo(json_text(found["body"], indent=2))


def _print_attempt(attempt: JsonObject, out: Console) -> None:
    result = attempt.get("error") or f"accepted in {attempt.get('duration_ms')} ms"
    manual = ", manual" if attempt.get("trigger") == "manual" else ""
    at = local_time(attempt["at"])
    out.print(f"  {at}  attempt {attempt['number']}{manual}: {plain(result)}", soft_wrap=True)
    answer = attempt.get("answer") or attempt.get("answer_base64")
    if answer:
        out.print(f"    {plain(json_text(answer))}", soft_wrap=True)
