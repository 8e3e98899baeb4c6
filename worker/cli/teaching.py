"""Help that keeps the lines of its examples and tables."""

from __future__ import annotations

import inspect
from typing import Any

import click

AS_IT_IS = "\b\n"
"""click's mark in front of a paragraph that it shall not wrap."""


def keep_lines(text: str) -> str:
    """Mark every paragraph that holds an indented line."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"{AS_IT_IS}{part}" if "\n " in part else part for part in paragraphs)


class TeachingCommand(click.Command):
    """A command whose help may hold examples and tables: paragraphs with an indented line stay as they are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take everything that click takes."""
        super().__init__(*args, **kwargs | {"help": keep_lines(kwargs["help"])})
