"""The output of the demo: progress bars in a terminal, one line for each change elsewhere, and a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.cli.local.demo_files import SavedFile
from worker.cli.local.demo_jobs import Run
from worker.cli.local.receiver import VerifyingReceiver
from worker.cli.output import COLOURS, can_redraw, plain, state

BAR_WIDTH = 20
MIN_WIDTH = 79
"""Width of the terminal from which on there are bars and a table; below it, lines."""
WIDE = 100
"""Width of the terminal from which on PhotoGPT's ids are shown."""

MAX_UNFINISHED = 0.97  # a bar is full only when the job has ended


class DemoDisplay:
    """Shows runs while they are in progress. Use it in a `with` block."""

    def __init__(self, out: Console, runs: list[Run], receiver: VerifyingReceiver, *, timed: bool) -> None:
        """Show on `out`; with `timed`, bars compare the elapsed time with the expected duration."""
        self._out, self._runs, self._receiver, self._timed = out, runs, receiver, timed
        bars = can_redraw(out) and out.width >= MIN_WIDTH
        self._live = Live(console=out, auto_refresh=False, transient=True) if bars else None
        self._printed: dict[int, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        """Start the bars."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bars."""
        if self._live:
            self._live.stop()

    def refresh(self) -> None:
        """Redraw the bars, or print a line for each run that has changed."""
        if self._live:
            self._live.update(self._bars(), refresh=True)
            return
        for number, run in enumerate(self._runs):
            if run.outcomes and self._printed.get(number) != (run.step, run.state):
                self._printed[number] = (run.step, run.state)
                self._out.print(plain(_line(run, wide=self._out.width >= WIDE)), soft_wrap=True)

    def _bars(self) -> Table:
        caption = f"{sum(self._receiver.verified.values())} webhooks verified"
        caption += "; a bar compares the elapsed time with the duration above" if self._timed else ""
        table = Table(box=None, padding=(0, 2, 0, 0), caption=caption, caption_justify="left")
        for title, width in (("job", 23), ("", BAR_WIDTH), ("state", 13), ("elapsed", 7), ("polls", 5)):
            table.add_column(title, header_style="bright_black", no_wrap=True, min_width=width)
        if self._out.width >= WIDE:
            table.add_column("id at PhotoGPT", header_style="bright_black", style="bright_black", no_wrap=True)
        for run in self._runs:
            table.add_row(*self._row(run)[: len(table.columns)])
        return table

    def _row(self, run: Run) -> tuple[RenderableType, ...]:
        step = f" {run.step}/{len(run.ids)}" if len(run.ids) > 1 and run.ended is None else ""
        run_state = state(run.state).append(step, style="bright_black")
        return (
            run.plan.title,
            self._bar(run),
            run_state,
            f"{run.elapsed_s:5.1f} s",
            str(run.polls),
            _remote_id(run)[:16],
        )

    def _bar(self, run: Run) -> ProgressBar:
        colour = COLOURS[run.state]
        if run.ended is not None:
            return ProgressBar(1, 1, width=BAR_WIDTH, complete_style=colour, finished_style=colour)
        if not self._timed:
            return ProgressBar(1, 0, width=BAR_WIDTH, pulse=True)
        part = min(MAX_UNFINISHED, run.elapsed_s / run.plan.expected_s)
        return ProgressBar(1, part, width=BAR_WIDTH, complete_style=colour)


def print_results(out: Console, runs: list[Run], receiver: VerifyingReceiver) -> None:
    """Print the table that the demo ends with, and below it the trained models and errors."""
    if out.width < MIN_WIDTH:
        for run in runs:
            verified = sum(receiver.verified[job_id] for job_id in run.ids)
            webhooks = f"{verified} of {len(run.ids)} webhooks verified"
            out.print(f"{run.plan.title}: {run.state}, {run.polls} polls, {webhooks}")
    else:
        out.print(_result_table(runs, receiver))
    for run in runs:
        if run.note:
            out.print(f"  {run.plan.title:<24} {plain(run.note)}", soft_wrap=True)


def print_files(out: Console, files: Sequence[SavedFile], folder: Path, sheet: Path) -> None:
    """Print where the files of the demo are, each on a line, and the page that shows them."""
    out.print("\nSaved:")
    for file in files:
        out.print(f"  {plain(folder / file.name)}  {file.kind}, {_readable(file.size)}", soft_wrap=True)
    address = sheet.resolve().as_uri()
    out.print(f"All of them on one page: [link={address}]{plain(address)}[/link]\n", soft_wrap=True)


def _readable(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _result_table(runs: list[Run], receiver: VerifyingReceiver) -> Table:
    table = Table(box=box.ROUNDED, title="Results", title_justify="left")
    for title in ("job", "state", "seconds", "polls", "webhooks"):
        table.add_column(title, justify="right" if title in {"seconds", "polls"} else "left", no_wrap=True)
    for run in runs:
        verified = sum(receiver.verified[job_id] for job_id in run.ids)
        webhooks = Text(
            f"{verified} of {len(run.ids)} ✓" if verified else "none",
            style="green" if verified == len(run.ids) else "red",
        )
        table.add_row(run.plan.title, state(run.state), f"{run.elapsed_s:.1f}", str(run.polls), webhooks)
    return table


def _line(run: Run, *, wide: bool) -> str:
    current: Any = run.current or {}
    kind = f"{current['kind']} " if len(run.ids) > 1 else ""
    step = f" ({run.step} of {len(run.ids)})" if len(run.ids) > 1 else ""
    polls = current.get("polls")
    polled = f"after {polls} poll{'s' if polls > 1 else ''}" if polls else ""
    remote_id = f"  {_remote_id(run)}" if wide else ""
    text = f"{kind}{current['state']}{step}{remote_id}  {polled}"
    return f"{run.elapsed_s:6.1f} s  {run.plan.title:<24} {text}".rstrip()


def _remote_id(run: Run) -> str:
    """Return the id of the present generation or model at PhotoGPT."""
    current = run.current
    return str(current["generation_id"] or current["model_id"] or "") if current else ""
