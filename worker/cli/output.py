"""Console, colours and times for a terminal, and for a log file or a pipe."""

from __future__ import annotations

import os
import sys
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.text import Text

MIN_WIDTH = 30
"""Columns that Rich's tables need at least, whatever COLUMNS says."""

PLAIN_WIDTH = 160
"""Columns where the output is no terminal, such as the log of a CI run."""

COLOURS = {
    "queued": "bright_black",
    "submitted": "cyan",
    "running": "blue",
    "succeeded": "green",
    "failed": "red",
    "expired": "magenta",
    "canceled": "yellow",
    "delivered": "green",
    "pending": "cyan",
    "dead": "red",
    "healthy": "green",
    "failing": "yellow",
    "circuit_open": "red",
    "disabled": "bright_black",
}
"""The colour of each state of a job or a webhook."""


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal; without one, as wide as COLUMNS says, or `PLAIN_WIDTH`."""
    stream = sys.stderr if stderr else sys.stdout
    known = stream.isatty() or os.environ.get("COLUMNS", "").strip("0").isdigit()
    out = Console(stderr=stderr, width=None if known else PLAIN_WIDTH, highlight=False, emoji=False)
    out.width = max(out.width, MIN_WIDTH)
    return out


def counted(count: int, singular: str, plural: str) -> str:
    """Return a number and its words: "1 webhook is", "4 webhooks are"."""
    return f"{count} {singular if count == 1 else plural}"


def can_redraw(out: Console) -> bool:
    """Whether lines can be drawn again in place: not in a file, whatever FORCE_COLOR says, nor where TERM is `dumb`."""
    return out.file.isatty() and out.is_terminal and not out.is_dumb_terminal


def status(out: Console, text: str) -> Status:
    """Return a line that changes, for a terminal; its spinner has characters that the encoding has."""
    return Status(text, console=out, spinner="dots" if out.encoding.startswith("utf") else "line")


def state(name: str) -> Text:
    """Return a state in its colour."""
    return Text(name, style=COLOURS.get(name, ""))


def printable(value: object) -> str:
    """Return text from outside without control characters, so that it cannot move the cursor."""
    return "".join(character if character.isprintable() else "·" for character in str(value))


def plain(value: object) -> str:
    """Return text from outside that Rich prints as it is, on one line: without control characters and markup."""
    return escape(printable(value))


def local_time(text: str | None) -> str:
    """Return an RFC 3339 time as local time of day, with the date if it is not today."""
    if not text:
        return ""
    at = datetime.fromisoformat(text).astimezone()
    today = at.date() == datetime.now().astimezone().date()
    return at.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Return the seconds between two RFC 3339 times, or None if one is missing."""
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
