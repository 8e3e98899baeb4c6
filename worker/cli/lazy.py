"""Groups of commands whose modules are imported when they are asked for, so that `--help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from worker.cli.teaching import keep_lines


class LazyCommands(click.Group):
    """Knows its commands by name, and imports one when it is used."""

    def __init__(self, *args: Any, table: Mapping[str, str], prefix: str = "", **kwargs: Any) -> None:
        """Take everything that click takes; the lines of tables in the help stay as they are.

        Args:
            args: click's.
            table: every command and its one line, in the order in which a newcomer needs them.
            prefix: the command `<name>` stands in the module `worker.cli.<prefix><name>` as `<prefix><name>`.
            kwargs: click's.
        """
        super().__init__(*args, **kwargs | {"help": keep_lines(kwargs["help"])})
        self._table = table
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        del ctx
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._table:
            return None
        name = f"{self._prefix}{cmd_name}"
        command: click.Command = getattr(importlib.import_module(f"worker.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._table.items()))
