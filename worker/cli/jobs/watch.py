"""`photogpt-worker watch`: jobs live."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from worker.cli.context import connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.jobs.table import jobs_table, known
from worker.cli.output import clock, console
from worker.cli.queries import last_entry, next_events_of_all, outcomes, recent
from worker.store.connection import Store

LOOK_S = 0.5
AROUND = 7
"""Lines of the screen that are not jobs."""


@click.command("watch", cls=HelpCommand)
@click.option("--once", is_flag=True, help="Print the table as it is now, and end.")
@click.option("--limit", type=click.IntRange(1, 1000), help="Jobs at most.  [default: as many as fit]")
def watch(limit: int | None, *, once: bool) -> None:
    """Watch jobs live, those first to which something happened last, until Ctrl-C.

    The line below says how many jobs and webhooks wait in each lane. Without a terminal, prints a line for each event.

    Example:
      photogpt-worker watch
      photogpt-worker watch --once | head

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
    settings, out = read_settings(), console()
    most = limit or max(5, out.height - AROUND)
    with connected_store(settings) as store:
        try:
            if once:
                out.print(_table(store, most, out.width))
            elif out.is_terminal:
                _live(store, out, most)
            else:
                _lines(store)
        except KeyboardInterrupt:
            return


def _live(store: Store, out: Console, most: int) -> None:
    after = last_entry(store)
    with Live(console=out, auto_refresh=False, screen=False) as live:
        while True:
            live.update(_table(store, most, out.width), refresh=True)
            started = time.monotonic()
            for seen in next_events_of_all(store, after=after, block_s=LOOK_S):
                after = seen.entry
            time.sleep(max(0.0, LOOK_S / 2 - (time.monotonic() - started)))  # a burst of events is one picture


def _lines(store: Store) -> None:
    after = last_entry(store)
    while True:
        for seen in next_events_of_all(store, after=after, block_s=LOOK_S):
            after = seen.entry
            found = outcomes(store, [seen.job_id])
            told = known(found[0]) if found and seen.state.terminal else ""
            click.echo(f"{clock(seen.timestamp)}  {seen.job_id}  {seen.type:<16}  {told}".rstrip())


def _table(store: Store, most: int, width: int) -> Table:
    table = jobs_table(recent(store, limit=most), now=store.clock(), width=width)
    sizes = store.lanes.sizes()
    table.caption = "waiting: " + ", ".join(f"{lane.value} {size}" for lane, size in sizes.items())
    table.caption_justify = "left"
    return table
