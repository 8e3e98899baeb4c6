"""Types of options that several commands share."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from worker.domain.job import JsonObject

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[float]):
    """A length of time such as 90s, 15m, 1h or 2d; converted to seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds, or fail with examples."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time; write 90s, 15m, 1h or 2d", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


class JsonParameter(click.ParamType[JsonObject]):
    """A JSON object given as text, as `@file`, or as `-` for standard input."""

    name = "json|@file|-"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> JsonObject:
        """Return the object, or fail with what is wrong."""
        if isinstance(value, dict):
            return value
        try:
            read = json.loads(_text(str(value)))
        except OSError as error:
            self.fail(f"cannot read {str(value)[1:]}: {error.strerror}", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"is not JSON: {error}", param, ctx)
        if not isinstance(read, dict):
            self.fail("must be a JSON object: {…}", param, ctx)
        return read


def _text(value: str) -> str:
    if value == "-":
        return sys.stdin.read()
    return Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
