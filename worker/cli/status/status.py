"""`photogpt-worker status`: the command."""

from __future__ import annotations

import sys

import click

from worker.cli.context import FAILED, CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console
from worker.cli.status.report import read_report
from worker.cli.status.screen import print_report
from worker.cli.streams import json_text


@click.command("status", cls=HelpCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Show the state of the whole service on one screen: what is wrong, workers, lanes, jobs, webhooks, last errors.

    Reads Redis and the broker, changes nothing, and needs no running worker. It does not ask PhotoGPT; `ping` does, and
    checks the settings. ops/docs/status.md describes every line and the JSON.

    Example:
      photogpt-worker status
      photogpt-worker status --json | jq .problems

    Exit codes:
      0    healthy; there may be warnings (!)
      1    unhealthy: at least one problem; or Redis does not answer
      2    invalid settings

    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL, PHOTOGPT_NAMESPACE.
    """
    settings = read_settings()
    try:
        with connected_store(settings) as store:
            report = read_report(store, settings)
    except CommandError as error:
        if as_json:
            click.echo(json_text({"healthy": False, "problems": [error.message], "warnings": []}, indent=2))
        raise
    if as_json:
        click.echo(json_text(report, indent=2))
    else:
        print_report(report, console(), namespace=settings.namespace)
    sys.exit(0 if report["healthy"] else FAILED)
