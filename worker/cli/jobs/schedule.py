"""`photogpt-worker schedule`: the learned poll schedules, list polling, and why a job's next poll is when it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import click
from rich import box
from rich.table import Table

from worker.cli.context import CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console
from worker.cli.streams import json_text
from worker.domain.durations import duration_group
from worker.domain.job import Job, JsonObject, Kind
from worker.domain.lane import Lane
from worker.domain.list_poll import ListPollState
from worker.domain.poll_schedule import MIN_HISTORY, MIN_OBSERVED, Schedule
from worker.store.store import Store

SHOWN_POLLS = 8
TEXT_COLUMNS = {"duration group", "schedule"}
COLUMNS = ("duration group", "durations", "schedule", "expected polls", "expected delay", "polls at age (s)")


@click.command("schedule", cls=HelpCommand)
@click.argument("job_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def schedule(job_id: str | None, *, as_json: bool) -> None:
    """Show the poll schedules and the state of list polling; with JOB_ID, why its next poll is when it is.

    Jobs of one kind and model form a duration group. From the durations of a group, workers learn at which ages a job
    is likely to end and poll at those ages, as often as the fixed interval would. A group with too few durations keeps
    the fixed interval. List polling reads pages of GET /jobs instead of one job at a time, where that needs fewer
    requests.

    Examples:
      photogpt-worker schedule
      photogpt-worker schedule 3f6c…

    Settings: PHOTOGPT_SCHEDULE, PHOTOGPT_POLL_BUDGET, PHOTOGPT_JOB_POLL_INTERVAL_S, PHOTOGPT_LIST_POLLING.
    """
    with connected_store(read_settings()) as store:
        if job_id is not None:
            job = _job(store, job_id)
            click.echo(json_text(job) if as_json else job["summary"])
            return
        groups = [_group(store, name) for name in store.schedules.duration_groups()]
        state = store.list_polls.state()
        list_polling = _list_polling(state, store.clock()) if state else None
    if as_json:
        click.echo(json_text({"duration_groups": groups, "list_polling": list_polling}))
        return
    if groups:
        console().print(_table(groups))
    else:
        click.echo("no durations are known yet: no generation has ended")
    click.echo(list_polling["summary"] if list_polling else "list polling: not used yet, too few jobs were in flight")


def _group(store: Store, name: str) -> JsonObject:
    found = store.schedules.read(name, training=name == Kind.TRAINING.value)
    durations = sum(store.schedules.history(name)[0].values())
    learned = found.learned_from > 0
    return {
        "duration_group": name,
        "durations": round(durations, 1),
        "learned": learned,
        "interval_s": found.interval_s,
        "expected_polls": round(found.polls, 2) or None,
        "expected_delay_s": round(found.delay_s, 2) if learned else None,
        "polls_at_s": [round(age, 1) for age in islice(_poll_ages(found), SHOWN_POLLS)],
        "p95_duration_s": round(found.p95_duration_s, 1),
    }


def _poll_ages(found: Schedule) -> Iterator[float]:
    age = 0.0
    while True:
        age = found.next_age(age)
        yield age


def _table(groups: list[JsonObject]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in COLUMNS:
        whole = title in TEXT_COLUMNS
        table.add_column(title, justify="left" if whole else "right", no_wrap=whole, overflow="fold")
    for group in groups:
        table.add_row(
            group["duration_group"],
            f"{group['durations']:g}",
            "learned" if group["learned"] else f"every {group['interval_s']:g} s",
            f"{group['expected_polls']:.1f}" if group["expected_polls"] else "",
            f"{group['expected_delay_s']:.1f} s" if group["expected_delay_s"] is not None else "",
            " ".join(f"{age:g}" for age in group["polls_at_s"]) + " …",
        )
    return table


def _list_polling(state: ListPollState, now: float) -> JsonObject:
    summary = f"list polling: {_list_polling_text(state, now)}"
    return {
        "summary": summary,
        "pages": state.pages,
        "window_s": state.window_s,
        "suspended_until": state.suspended_until,
    }


def _list_polling_text(state: ListPollState, now: float) -> str:
    if now < state.suspended_until:
        return f"suspended for {state.suspended_until - now:.0f} s more, because GET /jobs returned outdated states"
    if not state.window_s:
        return "not used, because polling each job takes fewer requests"
    return (
        f"active every {state.interval_s:.1f} s; {state.pages} pages of {state.page_size:.0f} were read "
        f"{now - state.at:.0f} s ago, for generations of up to {state.window_s:.0f} s of age"
    )


def _job(store: Store, job_id: str) -> JsonObject:
    job = store.jobs.get(job_id)
    if job is None:
        raise CommandError(f"there is no job {job_id}: no worker has accepted it yet, or its record has expired")
    lane = Lane.MODELS if job.kind is Kind.TRAINING else Lane.JOBS
    due_in_s = store.lanes.due(lane, job.id)
    summary = _explain(store, job, due_in_s)
    return {"job": job.id, "duration_group": duration_group(job), "due_in_s": due_in_s, "summary": summary}


def _explain(store: Store, job: Job, due_in_s: float | None) -> str:
    """Return one sentence about the next poll of a job."""
    if due_in_s is None or job.submitted_at is None:
        return f"job {job.id} is in state {job.state.value}: no poll is scheduled"
    name, age = duration_group(job), store.clock() - job.submitted_at
    start = f"{name}, {age:.0f} s old, polled {job.polls} times, next poll in {max(0.0, due_in_s):.1f} s"
    if job.kind is not Kind.TRAINING and _list_polling_covers(store, due_in_s):
        return f"{start}: list polling is active and defers the poll while GET /jobs shows the job as unfinished"
    found = store.schedules.read(name, training=job.kind is Kind.TRAINING)
    if not found.learned_from:
        return (
            f"{start}: every {found.interval_s:g} s, because fewer than {MIN_HISTORY} durations are known, or the "
            f"first one is more recent than {MIN_OBSERVED} times the usual duration"
        )
    return (
        f"{start}: learned from {found.learned_from:g} durations; {found.polls:.1f} polls are expected, and an end is "
        f"noticed after {found.delay_s:.1f} s on average"
    )


def _list_polling_covers(store: Store, due_in_s: float) -> bool:
    """Whether a list poll is expected before the single poll of a job."""
    state = store.list_polls.state()
    return state is not None and state.window_s > 0 and store.clock() - state.at < state.seconds + due_in_s + 1
