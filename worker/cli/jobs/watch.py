"""`photogpt-worker watch`: jobs live."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.jobs.jobs import details, jobs_table
from worker.cli.output import can_redraw, console, local_time, printable
from worker.cli.queries import no_worker, recent_outcomes
from worker.store.store import Store

REFRESH_S = 0.5
OTHER_LINES = 7
"""Lines of the screen that show no job: the prompt, the head of the table, its caption."""


@click.command("watch", cls=HelpCommand)
@click.option("--once", is_flag=True, help="Print the table once, and end.")
@click.option("--limit", type=click.IntRange(1, 1000), help="Maximum number of jobs.  [default: as many as fit]")
def watch(limit: int | None, *, once: bool) -> None:
    """Show jobs live, those with the newest events first, until Ctrl-C.

    The line below the table says how many jobs and webhooks wait in each lane. Without a terminal, the command prints
    one line for each event.

    Example:
      photogpt-worker watch
      photogpt-worker watch --once | head

    Settings: PHOTOGPT_REDIS_URL.
    """
    settings, out = read_settings(), console()
    limit = limit or max(5, out.height - OTHER_LINES)
    with connected_store(settings) as store:
        try:
            if once:
                out.print(_table(store, limit, out.width))
            elif can_redraw(out):
                _show_live(store, out, limit)
            else:
                _print_events(store)
        except KeyboardInterrupt:
            return


def _show_live(store: Store, out: Console, limit: int) -> None:
    after = store.job_history.newest_entry()
    with Live(console=out, auto_refresh=False, screen=False) as live:
        while True:
            live.update(_table(store, limit, out.width), refresh=True)
            started = time.monotonic()
            for event in store.job_history.wait_for_events(after=after, block_s=REFRESH_S):
                after = event.entry
            elapsed = time.monotonic() - started
            time.sleep(max(0.0, REFRESH_S / 2 - elapsed))  # many events in a row cause one refresh


def _print_events(store: Store) -> None:
    after = store.job_history.newest_entry()
    while True:
        for event in store.job_history.wait_for_events(after=after, block_s=REFRESH_S):
            after = event.entry
            found = store.job_history.outcomes([event.job_id])
            text = printable(details(found[0])) if found and event.state and event.state.terminal else ""
            click.echo(f"{local_time(event.timestamp)}  {printable(event.job_id)}  {event.type:<16}  {text}".rstrip())


def _table(store: Store, limit: int, width: int) -> Table:
    table = jobs_table(recent_outcomes(store, limit=limit), now=store.clock(), width=width)
    sizes = store.lanes.sizes()
    table.caption = "waiting: " + ", ".join(f"{lane.value} {size}" for lane, size in sizes.items())
    missing = no_worker(store.fleet.read())
    table.caption += f"\n{missing}" if missing else ""
    table.caption_justify = "left"
    return table
