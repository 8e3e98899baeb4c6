"""Tables whose rows hold ids and URLs, readable on a narrow screen as well."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.output import plain, state

WIDE = 130
"""Columns from which on a table with ids and URLs is readable."""


def print_rows(
    out: Console, titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()
) -> None:
    """Print rows as a table; where the screen is narrower than `WIDE`, as a paragraph each, with the last cell alone.

    Args:
        out: to print on.
        titles: of the columns. The first is printed whole; `state` is coloured.
        rows: texts from outside, as many as there are titles.
        numbers: titles of the columns that are justified to the right.
    """
    if out.width < WIDE:
        for row in rows:
            _print_paragraph(out, titles, row)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, title in enumerate(titles):
        whole = number == 0 or title == "state"
        table.add_column(title, no_wrap=whole, justify="right" if title in numbers else "left")
    for row in rows:
        table.add_row(*(_cell(title, text) for title, text in zip(titles, row, strict=True)))
    out.print(table)


def _cell(title: str, text: str) -> str | Text:
    return state(text) if title == "state" else plain(text)


def _print_paragraph(out: Console, titles: Sequence[str], row: Sequence[str]) -> None:
    named = [f"{title} {plain(text)}" for title, text in zip(titles[1:-1], row[1:-1], strict=True) if text]
    out.print(f"[bold]{plain(row[0])}[/]", soft_wrap=True)
    if named:
        out.print(f"  {', '.join(named)}", soft_wrap=True)
    if row[-1]:
        out.print(f"  {plain(row[-1])}", soft_wrap=True)
