"""Console, colours and times for a terminal, and for a log file or a pipe."""

from __future__ import annotations

import sys
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.text import Text

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
}
"""The colour of each state of a job or a webhook."""


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or `PLAIN_WIDTH` columns wide where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False, emoji=False)


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
