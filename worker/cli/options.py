"""Types of options that several commands share."""

from __future__ import annotations

import errno
import json
import re
import sys
from pathlib import Path
from typing import IO, Any

import click

from worker.domain.job import JsonObject

MAX_BYTES = 10_000_000
"""Of JSON that an option reads; PhotoGPT's largest requests carry a few images as text."""

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
            self.fail(
                f"cannot read {_source(value)}: {error.strerror}",
                param,
                ctx,
            )
        except UnicodeDecodeError as error:
            self.fail(f"is not text in UTF-8: {error.reason} at byte {error.start}", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"is not JSON: {error}", param, ctx)
        if not isinstance(read, dict):
            self.fail("must be a JSON object: {…}", param, ctx)
        return read


def _source(value: str) -> str:
    return "standard input" if value == "-" else value[1:] or "a file without a name"


def _text(value: str) -> str:
    """Return the text of an argument, a file or standard input.

    Raises:
        OSError: the file cannot be read, or is larger than MAX_BYTES.
        UnicodeDecodeError: it is not UTF-8.
    """
    if value == "-":
        return _limited(sys.stdin.buffer)
    if not value.startswith("@"):
        return value
    with Path(value[1:]).open("rb") as file:
        return _limited(file)


def _limited(file: IO[bytes]) -> str:
    read = file.read(MAX_BYTES + 1)
    if len(read) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_BYTES // 1_000_000} MB")
    return read.decode("utf-8-sig")
