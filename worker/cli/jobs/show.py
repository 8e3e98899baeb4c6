"""`photogpt-worker show`: all that is known of one job."""

from __future__ import annotations

import json

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import clock, console, seconds_between, state
from worker.cli.queries import record
from worker.domain.job import JobState, JsonObject

LANES = {
    "triggers": "PhotoGPT is asked to start it",
    "jobs": "PhotoGPT is looked at",
    "models": "the model is looked at",
    "results": "its Celery result is seen to",
}


@click.command("show", cls=HelpCommand)
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(job_id: str, *, as_json: bool) -> None:
    """Show all that is known of one job: outcome, deadline, what stands in its way, events, webhooks.

    JOB_ID is the Celery task id that the producer got. Records stay for PHOTOGPT_RETENTION_S after a job's end.

    Example:
      photogpt-worker show 3f6c… --json

    Setting that matters: PHOTOGPT_REDIS_URL.
    """
    settings = read_settings()
    with connected_store(settings) as store:
        found = record(store, job_id)
    if found is None:
        raise CommandError(
            f"there is no job {job_id}: no worker has taken it yet, or its record has expired "
            f"({settings.retention_s:g} s after its end)"
        )
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    out = console()
    out.print(_facts(found))
    _events(found, out)
    _webhooks(found, out)


def _facts(found: JsonObject) -> Table:
    outcome = found["outcome"]
    grid = Table(
        box=box.ROUNDED, show_header=False, title=f"{outcome['kind']} {escape(outcome['id'])}", title_justify="left"
    )
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("state", state(outcome["state"]))
    for name, value in _rows(found):
        if value:
            grid.add_row(name, escape(str(value)))
    return grid


def _rows(found: JsonObject) -> list[tuple[str, object]]:
    outcome = found["outcome"]
    terminal = JobState(outcome["state"]).terminal
    reason = f"{outcome['reason']}: {outcome['error']}" if outcome["reason"] else ""
    took = seconds_between(outcome["created_at"], outcome["finished_at"])
    urls = [str(made.get("url")) for made in outcome["images"] + outcome["videos"]]
    return [
        ("why" if terminal else "in the way", reason),
        ("worth retrying", {True: "yes", False: "no", None: ""}[outcome["retryable"]] if terminal else ""),
        ("in doubt", "PhotoGPT was asked, its answer is not known" if found["intent_open"] and not terminal else ""),
        ("next", _next(found["waits_in"], found["queue_position"])),
        ("output", "\n".join(urls)),
        ("model", outcome["model_id"]),
        ("generation", outcome["generation_id"]),
        ("request", json.dumps(found["request"], ensure_ascii=False)),
        ("metadata", json.dumps(outcome["metadata"], ensure_ascii=False) if outcome["metadata"] else ""),
        ("tenant", found["tenant"]),
        ("idempotency key", found["idempotency_key"]),
        ("follows", found["follows"]),
        ("created", clock(outcome["created_at"])),
        ("submitted", clock(outcome["submitted_at"])),
        ("finished", f"{clock(outcome['finished_at'])}, after {took:.1f} s" if took is not None else ""),
        ("deadline", "" if terminal else clock(found["deadline_at"])),
        ("asked to start", f"{found['attempts']} times" if found["attempts"] > 1 else ""),
        ("looks", outcome["polls"]),
        ("Celery result", f"stored {clock(found['published_at'])}" if found["published_at"] else ""),
    ]


def _next(waits: JsonObject | None, position: int | None) -> str:
    if position is not None:
        return f"waits for room at PhotoGPT, {position} before it; expires in {waits['due_in_s']:g} s" if waits else ""
    return f"in {waits['due_in_s']:g} s {LANES[waits['lane']]}" if waits else ""


def _events(found: JsonObject, out: Console) -> None:
    out.print("[bold]events[/]")
    for seen in found["events"]:
        out.print(f"  {clock(seen['timestamp'])}  {seen['type']}")


def _webhooks(found: JsonObject, out: Console) -> None:
    if not found["deliveries"]:
        return
    out.print("[bold]webhooks[/]")
    for delivery in found["deliveries"]:
        line = state(delivery["state"]).append(f"  {delivery['type']} to {delivery['url']}  {delivery['id']}", style="")
        out.print("  ", line, soft_wrap=True, sep="")
        for attempt in delivery["attempts"]:
            told = attempt.get("error") or f"taken in {attempt.get('duration_ms')} ms"
            status = f"{attempt['status']} " if attempt.get("status") else ""
            out.print(
                f"    {clock(attempt['at'])}  attempt {attempt['number']}: {status}{escape(told)}", soft_wrap=True
            )
