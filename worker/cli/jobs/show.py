"""`photogpt-worker show`: everything that is stored about one job."""

from __future__ import annotations

import click
from rich.console import Console

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, counted, local_time, plain, printable, seconds_between, state
from worker.cli.queries import job_details
from worker.cli.streams import json_text
from worker.domain.job import JobState, JsonObject
from worker.domain.outcome import Outcome

NEXT_STEPS = {
    "triggers": "trigger at PhotoGPT",
    "jobs": "poll of the generation",
    "models": "poll of the model",
    "files": "store its files",
    "results": "publish the Celery result",
}
"""What a worker does next with a job, by the lane in which the job waits."""

NAME_WIDTH = 18

MAX_SHOWN = 2000
"""Characters of one value; a request or metadata may have more."""


@click.command("show", cls=HelpCommand)
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(job_id: str, *, as_json: bool) -> None:
    """Show everything that is stored about one job: outcome, deadline, next step, events, webhooks.

    JOB_ID is the id of the Celery task, or of the entry in the inbox. Records stay for PHOTOGPT_RETENTION_S after a
    job's end.

    Example:
      photogpt-worker show 3f6c… --json

    Settings: PHOTOGPT_REDIS_URL.
    """
    settings = read_settings()
    with connected_store(settings) as store:
        found = job_details(store, job_id)
    if found is None:
        raise CommandError(
            f"there is no job {job_id}: no worker has accepted it yet, or its record has expired "
            f"({settings.retention_s:g} s after its end)"
        )
    if as_json:
        click.echo(json_text(found, indent=2))
        return
    out = console()
    _print_facts(found, out)
    _print_events(found, out)
    _print_webhooks(found, out)


def _print_facts(found: JsonObject, out: Console) -> None:
    outcome = found["outcome"]
    out.print(f"[bold]{outcome['kind']} {plain(outcome['id'])}[/]", soft_wrap=True)
    out.print(f"  {'state':<{NAME_WIDTH}}", state(outcome["state"]), sep="")
    for name, value in _state_rows(found) + _request_rows(found) + _time_rows(found):
        for number, line in enumerate(_shortened(str(value or "")).splitlines()):
            out.print(f"  {'' if number else name:<{NAME_WIDTH}}{plain(line)}", soft_wrap=True)


def _shortened(text: str) -> str:
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]} … ({len(text)} characters; --json prints all)"


Rows = list[tuple[str, object]]


def _state_rows(found: JsonObject) -> Rows:
    outcome: Outcome = found["outcome"]
    terminal = JobState(outcome["state"]).terminal
    reason = f"{outcome['reason']}: {outcome['error']}" if outcome["reason"] else ""
    retryable = {True: "yes", False: "no", None: ""}[outcome["retryable"]]
    # A success is not polled again: the stored status is then the one of the poll before it.
    status = "" if outcome["state"] == JobState.SUCCEEDED else found["photogpt_status"]
    urls = [str(record.get("url")) for record in outcome["images"] + outcome["videos"]]
    return [
        ("reason" if terminal else "delayed by", reason),
        ("retryable", retryable if terminal else ""),
        ("PhotoGPT's status", status),
        ("unresolved", "the answer to its trigger is unknown" if found["intent_open"] and not terminal else ""),
        ("next", _next(found["next_step"], found["queue_position"])),
        ("output", "\n".join(urls)),
        ("files", "\n".join(stored["key"] for stored in outcome["files"])),
        ("not stored", outcome["files_error"] or (found["files_problem"] if not outcome["files"] else "")),
        ("model", outcome["model_id"]),
        ("generation", outcome["generation_id"]),
    ]


def _next(step: JsonObject | None, position: int | None) -> str:
    if step is None:
        return ""
    if position is not None:
        return f"waits for free capacity behind {counted(position, 'job', 'jobs')}; expires in {step['due_in_s']:g} s"
    return f"{NEXT_STEPS[step['lane']]} in {step['due_in_s']:g} s"


def _request_rows(found: JsonObject) -> Rows:
    metadata = found["outcome"]["metadata"]
    return [
        ("request", json_text(found["request"])),
        ("metadata", json_text(metadata) if metadata else ""),
        ("tenant", found["tenant"]),
        ("idempotency key", found["idempotency_key"]),
        ("duplicate of", found["duplicate_of"]),
    ]


def _time_rows(found: JsonObject) -> Rows:
    outcome: Outcome = found["outcome"]
    terminal = JobState(outcome["state"]).terminal
    seconds = seconds_between(outcome["created_at"], outcome["finished_at"])
    return [
        ("created", local_time(outcome["created_at"])),
        ("submitted", local_time(outcome["submitted_at"])),
        ("finished", f"{local_time(outcome['finished_at'])}, after {seconds:.1f} s" if seconds is not None else ""),
        ("starts", local_time(found["not_before"]) if found["not_before"] else ""),
        ("deadline", "" if terminal else local_time(found["deadline_at"])),
        ("trigger attempts", found["attempts"] if found["attempts"] > 1 else ""),
        ("polls", outcome["polls"]),
        ("Celery result", f"stored {local_time(found['published_at'])}" if found["published_at"] else ""),
    ]


def _print_events(found: JsonObject, out: Console) -> None:
    out.print("[bold]events[/]")
    for event in found["events"]:
        out.print(f"  {local_time(event['timestamp'])}  {event['type']}")


def _print_webhooks(found: JsonObject, out: Console) -> None:
    if found["deliveries"]:
        out.print("[bold]webhooks[/]")
    for delivery in found["deliveries"]:
        text = f"  {delivery['type']} to {printable(delivery['url'])}  {delivery['id']}"
        line = state(delivery["state"]).append(text, style="")
        out.print("  ", line, soft_wrap=True, sep="")
        for attempt in delivery["attempts"]:
            result = attempt.get("error") or f"accepted in {attempt.get('duration_ms')} ms"
            status = f"{attempt['status']} " if attempt.get("status") else ""
            at = local_time(attempt["at"])
            out.print(f"    {at}  attempt {attempt['number']}: {status}{plain(result)}", soft_wrap=True)
