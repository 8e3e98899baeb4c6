"""What the demo shows: bars side by side in a terminal, a line for each change elsewhere, and a table at the end."""

from __future__ import annotations

from typing import Any, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.cli.local.demo_jobs import Line, output
from worker.cli.local.receiver import VerifyingReceiver
from worker.cli.output import COLOURS, state

BAR = 20
WIDE = 100
"""Columns from which on there is room for PhotoGPT's own ids."""

ALMOST = 0.97  # a bar is full when the job has ended, not before


class Screen:
    """Shows the lines while they run; use it in a `with` block."""

    def __init__(self, out: Console, lines: list[Line], receiver: VerifyingReceiver, *, timed: bool) -> None:
        """Show on `out`; `timed` says that the expected durations are known."""
        self._out, self._lines, self._receiver, self._timed = out, lines, receiver, timed
        self._live = Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else None
        self._said: dict[int, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        """Begin."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; in a terminal the bars make room for the final table."""
        if self._live:
            self._live.stop()

    def show(self) -> None:
        """Show how things are now."""
        if self._live:
            self._live.update(self._bars(), refresh=True)
            return
        for number, line in enumerate(self._lines):
            if line.outcomes and self._said.get(number) != (line.step, line.state):
                self._said[number] = (line.step, line.state)
                self._out.print(escape(_sentence(line)), soft_wrap=True)

    def _bars(self) -> Table:
        told = f"{sum(self._receiver.verified.values())} webhooks verified"
        told += "; a bar shows the time passed against the durations above" if self._timed else ""
        table = Table(box=None, padding=(0, 2, 0, 0), caption=told, caption_justify="left")
        for title, width in (("job", 23), ("", BAR), ("state", 13), ("elapsed", 7), ("looks", 5)):
            table.add_column(title, header_style="bright_black", no_wrap=True, min_width=width)
        if self._out.width >= WIDE:
            table.add_column("at PhotoGPT", header_style="bright_black", style="bright_black", no_wrap=True)
        for line in self._lines:
            table.add_row(*self._row(line)[: len(table.columns)])
        return table

    def _row(self, line: Line) -> tuple[RenderableType, ...]:
        current: Any = line.current or {}
        step = f" {line.step}/{len(line.ids)}" if len(line.ids) > 1 and line.ended is None else ""
        shown = state(line.state).append(step, style="bright_black")
        last_polled_at = str(current.get("generation_id") or current.get("model_id") or "")
        return line.plan.title, self._bar(line), shown, f"{line.elapsed_s:5.1f} s", str(line.polls), last_polled_at[:16]

    def _bar(self, line: Line) -> ProgressBar:
        colour = COLOURS[line.state]
        if line.ended is not None:
            return ProgressBar(1, 1, width=BAR, complete_style=colour, finished_style=colour)
        if not self._timed:
            return ProgressBar(1, 0, width=BAR, pulse=True)
        passed = min(ALMOST, line.elapsed_s / line.plan.expected_s)
        return ProgressBar(1, passed, width=BAR, complete_style=colour)


def final_table(lines: list[Line], receiver: VerifyingReceiver) -> Table:
    """Return what came of it."""
    table = Table(box=box.ROUNDED, title="What came of it", title_justify="left")
    for title in ("job", "state", "seconds", "looks", "webhooks"):
        table.add_column(title, justify="right" if title in {"seconds", "looks"} else "left", no_wrap=True)
    table.add_column("output", overflow="fold")
    for line in lines:
        verified = sum(receiver.verified[job_id] for job_id in line.ids)
        mark = Text(
            f"{verified} of {len(line.ids)} ✓" if verified else "none",
            style="green" if verified == len(line.ids) else "red",
        )
        row = (f"{line.elapsed_s:.1f}", str(line.polls), mark, escape(output(line)))
        table.add_row(line.plan.title, state(line.state), *row)
    return table


def _sentence(line: Line) -> str:
    current: Any = line.current or {}
    kind = f"{current['kind']} " if len(line.ids) > 1 else ""
    step = f" (step {line.step} of {len(line.ids)})" if len(line.ids) > 1 else ""
    told = current.get("generation_id") or current.get("model_id") or ""
    polls = current.get("polls")
    polled = f"after {polls} look{'s' if polls > 1 else ''}" if polls else ""
    return f"{line.elapsed_s:6.1f} s  {line.plan.title:<24} {kind}{current['state']}{step}  {told}  {polled}".rstrip()
