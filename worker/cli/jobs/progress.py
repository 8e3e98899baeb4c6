"""Waits for the end of a job on its event stream, and shows its progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self, cast

from rich.console import Console

from worker.cli.output import COLOURS, can_redraw, local_time, plain, status
from worker.cli.queries import no_worker
from worker.domain.job import JobState
from worker.domain.outcome import Outcome
from worker.store.job_history import STREAM_START, JobEvent
from worker.store.store import Store

BLOCK_S = 0.25
HINT_AFTER_S = 3.0
"""After this time a hint says why the job may not go on; whether a worker runs is checked as often."""


class Progress:
    """Shows one changing line in a terminal, and one line for each event elsewhere."""

    def __init__(self, out: Console, job_id: str) -> None:
        """Show the progress of a job on `out`."""
        self._out, self._job_id = out, job_id
        self._started = time.monotonic()
        self._status = status(out, "") if can_redraw(out) else None
        self._hinted = False
        self._next_check_s = HINT_AFTER_S

    def __enter__(self) -> Self:
        """Print the job's id, and start the changing line."""
        self._out.print(f"job {plain(self._job_id)}", soft_wrap=True)
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the changing line."""
        if self._status:
            self._status.stop()

    def show_event(self, event: JobEvent) -> None:
        """Print one event."""
        colour = COLOURS[event.state] if event.state else "green"
        self._out.print(f"  {local_time(event.timestamp)}  [{colour}]{event.type}[/]", soft_wrap=True)

    def show_waiting(self, outcome: Outcome | None, no_worker: Callable[[], str | None]) -> None:
        """Update the changing line between two events; `no_worker` returns a sentence if no worker runs."""
        elapsed = time.monotonic() - self._started
        if not self._hinted and elapsed >= self._next_check_s:
            self._next_check_s = elapsed + HINT_AFTER_S
            self._hint(outcome, no_worker())
        if self._status:
            self._status.update(f"{_line(outcome)}  {elapsed:.1f} s")

    def _hint(self, outcome: Outcome | None, missing: str | None) -> None:
        state = outcome["state"] if outcome else "waiting"
        why = missing or _why_waiting(outcome)
        if why:
            self._hinted = True
            self._out.print(f"  [yellow]still {state}: {plain(why)}[/]", soft_wrap=True)


def _why_waiting(outcome: Outcome | None) -> str | None:
    if outcome is None:
        return "no worker has accepted it yet"
    if outcome["state"] != JobState.QUEUED:
        return None
    return outcome["error"] or "no worker has triggered it yet"


def _line(outcome: Outcome | None) -> str:
    if outcome is None:
        return "no record yet"
    generation = outcome["generation_id"] or outcome["model_id"] or "not triggered yet"
    polls = f"{outcome['polls']} poll{'' if outcome['polls'] == 1 else 's'}"
    error = f"  [yellow]{plain(outcome['error'])}[/]" if outcome["error"] else ""
    return f"[{COLOURS[outcome['state']]}]{outcome['state']}[/]  {plain(generation)}  {polls}{error}"


def wait_for_end(store: Store, job_id: str, progress: Progress, *, timeout_s: float | None) -> Outcome | None:
    """Return a job's final outcome, or None if `timeout_s` seconds passed first.

    Reads the job's stream from its start, so an end before this call is found as well.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    after = STREAM_START
    while True:
        for event in store.job_history.wait_for_job_events(job_id, after=after, block_s=BLOCK_S):
            after = event.entry
            progress.show_event(event)
            if event.state and event.state.terminal:
                return cast(Outcome, event.data) if event.data else store.jobs.outcome(job_id)
        if deadline is not None and time.monotonic() >= deadline:
            return None
        progress.show_waiting(store.jobs.outcome(job_id), lambda: no_worker(store.fleet.read()))
