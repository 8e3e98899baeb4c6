"""`photogpt-worker schedule`: what was learned of when to look, and why the next look is when it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

import click
from rich import box
from rich.table import Table

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console
from worker.domain.durations import duration_group
from worker.domain.job import Job, JsonObject, Kind
from worker.domain.list_poll import ListPollState
from worker.domain.poll_schedule import MIN_HISTORY, RIPE, Schedule
from worker.store.connection import Store
from worker.store.keys import Lane
from worker.store.list_poll import NAME

SHOWN = 8  # looks


@click.command("schedule", cls=HelpCommand)
@click.argument("job_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def schedule(job_id: str | None, *, as_json: bool) -> None:
    """Show what was learned of when to look, and what sweeps do; with JOB_ID why its next look is when it is.

    How long generations of a family (kind and model) took decides at which ages others are looked at: as often as at
    the fixed interval, but where an end is likely. A family that has ended too seldom, or whose first end was too
    short a while ago, keeps to the interval. A sweep reads GET /jobs instead of looking at each, where that is cheaper.

    Examples:
      photogpt-worker schedule
      photogpt-worker schedule 3f6c…

    Settings that matter: PHOTOGPT_SCHEDULE, PHOTOGPT_POLL_BUDGET, PHOTOGPT_JOB_POLL_INTERVAL_S, PHOTOGPT_LIST_POLLING.
    """
    with connected_store(read_settings()) as store:
        if job_id is not None:
            _tell(_of_job(store, job_id), as_json=as_json)
            return
        duration_groups = [_learned(store, name) for name in store.schedules.duration_groups()]
        known = store.list_polls.state()
        page_result = _swept(known, store.clock()) if known else None
    if as_json:
        click.echo(json.dumps({"families": duration_groups, "list_polls": page_result}, ensure_ascii=False))
        return
    if duration_groups:
        console().print(_table(duration_groups))
    else:
        click.echo("nothing is learned yet: no generation has ended")
    click.echo(page_result["says"] if page_result else "no sweep yet: too few jobs were under way")


def _learned(store: Store, name: str) -> JsonObject:
    training = name == Kind.TRAINING.value
    found, known = store.schedules.read(name, training=training), sum(store.schedules.history(name)[0].values())
    return {
        "family": name,
        "durations": round(known, 1),
        "learned": found.learned_from > 0,
        "interval_s": found.interval_s,
        "looks": round(found.looks, 2) or None,
        "delay_s": round(found.delay_s, 2) if found.learned_from else None,
        "polls_at_s": [round(age, 1) for age in islice(_ages(found), SHOWN)],
        "nearly_all_ended_by_s": round(found.p95_duration_s, 1),
    }


def _ages(found: Schedule) -> Iterator[float]:
    age = 0.0
    while True:
        age = found.next_age(age)
        yield age


def _table(duration_groups: list[JsonObject]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("family", "durations", "schedule", "looks expected", "delay expected", "looks at, seconds of age"):
        table.add_column(title, justify="left" if title in {"family", "schedule"} else "right")
    for found in duration_groups:
        table.add_row(
            found["family"],
            f"{found['durations']:g}",
            "learned" if found["learned"] else f"every {found['interval_s']:g} s",
            f"{found['looks']:.1f}" if found["looks"] else "",
            f"{found['delay_s']:.1f} s" if found["delay_s"] is not None else "",
            " ".join(f"{age:g}" for age in found["polls_at_s"]) + " …",
        )
    return table


def _swept(known: ListPollState, now: float) -> JsonObject:
    if now < known.suspended_until:
        says = f"no sweeps for {known.suspended_until - now:.0f} s more: the list of jobs showed what was no longer so"
    elif known.window_s and not known.pages:
        says = "sweeps: those under way are too young for one to show an end"
    elif known.window_s:
        says = (
            f"sweeps: {known.pages} pages of {known.page_size:.0f} read {now - known.at:.0f} s ago, generations of "
            f"{known.min_duration_s:.0f} to {known.window_s:.0f} s of age; {known.confirmed} ends "
            "confirmed by single looks"
        )
    else:
        says = "no sweeps: single looks take fewer requests"
    return {"says": says, "pages": known.pages, "window_s": known.window_s, "suspended_until": known.suspended_until}


def _of_job(store: Store, job_id: str) -> JsonObject:
    job = store.jobs.get(job_id)
    if job is None:
        raise CommandError(f"there is no job {job_id}: no worker has taken it yet, or its record has expired")
    lane = Lane.MODELS if job.kind is Kind.TRAINING else Lane.JOBS
    due = store.lanes.due(lane, job.id)
    return {"job": job.id, "family": duration_group(job), "due_in_s": due, "says": _why(store, job, due)}


def _why(store: Store, job: Job, due: float | None) -> str:
    name = duration_group(job)
    if due is None or job.submitted_at is None:
        return f"job {job.id} is {job.state.value}: nobody looks at it"
    age = store.clock() - job.submitted_at
    head = (
        f"{name}, {age:.0f} s since PhotoGPT took it, looked at {job.polls} times, next look in {max(0.0, due):.1f} s"
    )
    known = store.list_polls.state()
    if (
        job.kind is not Kind.TRAINING
        and known
        and known.window_s
        and store.clock() - known.at < known.seconds + due + 1
    ):
        return f"{head}: {NAME} are swept at the moment, and a sweep puts off what it shows as under way"
    found = store.schedules.read(name, training=job.kind is Kind.TRAINING)
    if not found.learned_from:
        return (
            f"{head}: every {found.interval_s:g} s, for fewer than {MIN_HISTORY} durations are known, or not for "
            f"{RIPE} times as long as most take"
        )
    return (
        f"{head}: learned from {found.learned_from:g} durations, which call for {found.looks:.1f} looks and let "
        f"{found.delay_s:.1f} s pass until an end is noticed"
    )


def _tell(found: JsonObject, *, as_json: bool) -> None:
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else found["says"])
