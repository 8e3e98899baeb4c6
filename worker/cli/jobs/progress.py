"""Waits for a job by its event stream, and shows how far it is."""

from __future__ import annotations

import time
from typing import Self, cast

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from worker.cli.output import COLOURS, clock
from worker.cli.queries import START, Seen, next_events
from worker.domain.job import JobState
from worker.domain.outcome import Outcome
from worker.store.connection import Store

BLOCK_S = 0.25
PATIENCE_S = 3.0
"""After this long in the queue, people want to know why."""


class Progress:
    """One line that changes in a terminal, one line for each event elsewhere."""

    def __init__(self, out: Console, job_id: str) -> None:
        """Show on `out`; what the job brings goes elsewhere."""
        self._out, self._job_id = out, job_id
        self._started = time.monotonic()
        self._status = Status("", console=out) if out.is_terminal else None
        self._warned = False

    def __enter__(self) -> Self:
        """Begin."""
        self._out.print(f"job {self._job_id}", soft_wrap=True)
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and leave no half line."""
        if self._status:
            self._status.stop()

    def happened(self, seen: Seen) -> None:
        """Say what happened."""
        self._out.print(f"  {clock(seen.timestamp)}  [{COLOURS[seen.state]}]{seen.type}[/]", soft_wrap=True)

    def waiting(self, outcome: Outcome | None) -> None:
        """Show how things are between two events."""
        elapsed = time.monotonic() - self._started
        if outcome is None:
            told = "its record is gone"
        else:
            self._hint(outcome, elapsed)
            at = outcome["generation_id"] or outcome["model_id"] or "not triggered yet"
            looks = f"{outcome['polls']} look{'' if outcome['polls'] == 1 else 's'}"
            trouble = f"  [yellow]{escape(outcome['error'])}[/]" if outcome["error"] else ""
            told = f"[{COLOURS[outcome['state']]}]{outcome['state']}[/]  {escape(at)}  {looks}{trouble}"
        if self._status:
            self._status.update(f"{told}  {elapsed:.1f} s")

    def _hint(self, outcome: Outcome, elapsed: float) -> None:
        if self._warned or elapsed < PATIENCE_S or outcome["state"] != JobState.QUEUED:
            return
        self._warned = True
        why = escape(outcome["error"]) if outcome["error"] else "no worker has taken it up; is one running?"
        self._out.print(f"  [yellow]still queued: {why}[/]", soft_wrap=True)


def follow(store: Store, job_id: str, progress: Progress, *, timeout_s: float | None) -> Outcome | None:
    """Return a job's outcome once it has ended, or None if `timeout_s` passed before.

    Reads the job's stream from its very beginning, so that an end that came earlier is found as well.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    after = START
    while True:
        for seen in next_events(store, job_id, after=after, block_s=BLOCK_S):
            after = seen.entry
            progress.happened(seen)
            if seen.state.terminal:
                return cast(Outcome, seen.data) if seen.data else store.jobs.outcome(job_id)
        if deadline is not None and time.monotonic() >= deadline:
            return None
        progress.waiting(store.jobs.outcome(job_id))
