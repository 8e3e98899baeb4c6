"""`photogpt-worker rejected`: the messages that workers could not use."""

from __future__ import annotations

import click

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, counted, local_time
from worker.cli.rows import print_rows
from worker.cli.streams import json_text
from worker.store.rejected import MAX_REJECTED


@click.command("rejected", cls=HelpCommand)
@click.option("--limit", default=20, type=click.IntRange(1, MAX_REJECTED), show_default=True, help="Maximum number.")
@click.option("--json", "as_json", is_flag=True, help="Print one message a line, as JSON.")
def rejected(limit: int, *, as_json: bool) -> None:
    """List messages and entries of the inbox that workers could not use, newest first.

    Such a message is malformed, or names an unknown task; such an entry names no job. Workers discard it and keep its
    time, task, id and error, not its content. A job whose id could be read ends as failed, with the reason
    invalid_request.

    Examples:
      photogpt-worker rejected
      photogpt-worker rejected --json

    Settings: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        messages, count = store.rejected.listed(limit), store.rejected.count()
    if as_json:
        for message in messages:
            click.echo(json_text(message))
        return
    if not messages:
        click.echo("no message was rejected")
        return
    rows = [(local_time(each["at"]), each["task"] or "", each["id"] or "", each["error"]) for each in messages]
    print_rows(console(), ("time", "task", "id", "error"), rows)
    click.echo(f"{counted(count, 'message was', 'messages were')} rejected in all")
