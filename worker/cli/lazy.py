"""Groups of commands. A command's module is imported when it is asked for, so that `--help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from worker.cli.teaching import keep_lines


class LazyCommands(click.Group):
    """Knows its commands by name, and imports one when it is used.

    `webhooks list` is `webhooks_list` in the module `worker.cli.webhooks_list`.
    """

    def __init__(self, *args: Any, commands_by_name: Mapping[str, str], prefix: str = "", **kwargs: Any) -> None:
        """Take everything that click takes; the lines of tables in the help stay as they are.

        Args:
            args: click's.
            commands_by_name: every command and its one line, in the order in which a newcomer needs them.
            prefix: of the modules of a group in the group.
            kwargs: click's.
        """
        super().__init__(*args, **kwargs | {"help": keep_lines(kwargs["help"])})
        self._lines = commands_by_name
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        del ctx
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._lines:
            return None
        name = f"{self._prefix}{cmd_name}"
        command: click.Command = getattr(importlib.import_module(f"worker.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))
