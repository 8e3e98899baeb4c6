"""Help texts that keep the lines of their examples, and groups that import a command only when it is used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

NO_WRAP = "\b\n"
"""click's mark in front of a paragraph that must not be wrapped."""


def keep_lines(text: str) -> str:
    """Mark every paragraph that holds an indented line, so that click does not wrap it."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"{NO_WRAP}{part}" if "\n " in part else part for part in paragraphs)


class HelpCommand(click.Command):
    """A command whose help keeps the lines of examples and tables."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take every argument that click takes."""
        super().__init__(*args, **kwargs | {"help": keep_lines(kwargs["help"])})


class Entry(NamedTuple):
    """One command of a group."""

    path: str
    """Module and name of the command object, such as `worker.cli.jobs.show:show`."""
    line: str
    """What the group's help says about it."""


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used.

    `photogpt-worker --help` takes 0.1 s this way, and 0.9 s with every command imported.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        """Take every argument that click takes, and the commands by name in the order of the help."""
        super().__init__(*args, **kwargs | {"help": keep_lines(kwargs["help"])})
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        del ctx
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._entries:
            return None
        module, _, name = self._entries[cmd_name].path.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self._entries.items()])
