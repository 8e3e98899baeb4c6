"""Prints the state of the service for a person, readable on a terminal of 80 columns."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from worker.cli.output import counted, local_time, plain
from worker.cli.status.findings import duration
from worker.cli.status.report import DataStatus, LaneStatus, Report

NAME_WIDTH = 10
MIN_WIDTH = 79
"""Columns of the screen below which the table of lanes is shortened."""
LANE_COLUMNS = ("lane", "members", "due", "workable", "overdue", "paused", "last claim")
NARROW_LANE_COLUMNS = ("lane", "due", "overdue")
MAX_NAMES = 5
"""Workers that are shown by name."""


def print_report(report: Report, out: Console, *, namespace: str) -> None:
    """Print the whole report."""
    verdict = "[green]healthy[/]" if report["healthy"] else "[bold red]UNHEALTHY[/]"
    out.print(f"{local_time(report['at'])}  namespace {plain(namespace)}  {verdict}")
    for mark, lines in (("[red]✗[/]", report["problems"]), ("[yellow]![/]", report["warnings"])):
        for line in lines:
            _print_item(out, mark, line)
    out.print()
    for name, value in _lines(report).items():
        _print_named(out, name, value)
    out.print(_lanes(report["lanes"], narrow=out.width < MIN_WIDTH))
    _print_errors(report, out)


def _print_item(out: Console, mark: str, text: str) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_row(mark, plain(text))
    out.print(table)


def _print_named(out: Console, name: str, value: str) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=NAME_WIDTH)
    table.add_row(name, plain(value))
    out.print(table)


def _lines(report: Report) -> dict[str, str]:
    jobs, webhooks, messages = report["jobs"], report["webhooks"], report["messages"]
    oldest = f" (the oldest for {duration(jobs['unresolved_oldest_s'])})" if jobs["unresolved"] else ""
    endpoints = ", ".join(f"{count} {state}" for state, count in sorted(webhooks["endpoints"].items()))
    waiting = messages["waiting"]
    broker = "the broker does not answer" if waiting is None else f"{sum(waiting.values())} wait in the broker"
    unacked = "" if messages["unacked"] is None else f", {messages['unacked']} in workers"
    return {
        "workers": _worker_line(report),
        "jobs": (
            f"{jobs['in_flight']} in flight, {jobs['queued']} queued, {jobs['scheduled']} scheduled for later, "
            f"{jobs['unresolved']} unresolved{oldest}"
        ),
        "webhooks": f"{webhooks['pending']} pending, {webhooks['dead']} dead; endpoints: {endpoints or 'none'}",
        "messages": f"{broker}{unacked}, {messages['inbox']} in the inbox; {messages['rejected']} rejected",
        "data": _data_line(report["data"]),
        "API key": "rejected by PhotoGPT" if report["api_key_rejected"] else "not rejected",
    }


def _data_line(data: DataStatus) -> str:
    if data["since"] is None:
        return "no worker has run on this Redis yet"
    lost = f"; data was lost at {local_time(data['lost_at'])}" if data["lost_at"] else ", nothing lost"
    return f"in Redis since {local_time(data['since'])}{lost}"


def _worker_line(report: Report) -> str:
    running = [worker["name"] for worker in report["workers"] if worker["running"]]
    more = f" and {len(running) - MAX_NAMES} more" if len(running) > MAX_NAMES else ""
    ended = [worker for worker in report["workers"] if not worker["running"]]
    lost = "".join(f"; {worker['name']} was seen {duration(worker['seen_s_ago'])} ago" for worker in ended[:MAX_NAMES])
    return f"{len(running)} running: {', '.join(running[:MAX_NAMES])}{more}{lost}" if running else f"none runs{lost}"


def _lanes(lanes: dict[str, LaneStatus], *, narrow: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in NARROW_LANE_COLUMNS if narrow else LANE_COLUMNS:
        table.add_column(title, no_wrap=True, justify="left" if title == "lane" else "right")
    for name, lane in lanes.items():
        claim = lane["last_claim_s_ago"]
        cells = {
            "lane": name,
            "members": str(lane["members"]),
            "due": str(lane["due"]),
            "workable": str(lane["workable"]),
            "overdue": _optional(lane["oldest_overdue_s"]),
            "paused": _optional(lane["paused_s"]),
            "last claim": "never" if claim is None else f"{duration(max(0.0, claim))} ago",
        }
        table.add_row(*(cells[str(column.header)] for column in table.columns))
    return table


def _optional(seconds: float) -> str:
    return duration(seconds) if seconds else ""


def _print_errors(report: Report, out: Console) -> None:
    for delay in report["delays"]:
        _print_named(out, "delayed", f"{counted(delay['jobs'], 'job', 'jobs')}: {delay['reason']}: {delay['error']}")
    if report["last_errors"]:
        out.print("last errors")
    for error in report["last_errors"]:
        start = f"  {local_time(error['at'])}  {error['kind']} {error['state']}: {error['reason']}: {error['error']}"
        out.print(plain(start))
        out.print(f"    photogpt-worker show {plain(error['job'])}", soft_wrap=True)
