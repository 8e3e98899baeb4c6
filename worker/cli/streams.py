"""Standard input, output and error of a command: in any encoding, closed, on a full disk, or cut by `head`."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from typing import Any, TextIO

import click

PLAIN_MARKS = {
    "✓": "+",
    "✗": "x",
    "…": "...",
    "→": ">",
    "│": "|",
    "·": ".",
    "–": "-",
    "—": "-",
    "’": "'",
    "“": '"',
    "”": '"',
    "\xa0": " ",
}
"""What is written instead of a mark that the encoding does not have; any other character is escaped.

One character each where tables use the mark, so that their columns stay in line.
"""

ENCODE_ERRORS = "photogpt.plain"
"""Name of the error handler that writes plain marks."""

PLAIN_ASCII = "photogpt-ascii"
"""ASCII under another name: click writes UTF-8 to a stream whose encoding is named ascii."""

SIGPIPE_EXIT = 128 + 13
"""Exit code of a program whose reader has closed the pipe, as of any program that SIGPIPE ends."""


class OutputLost(click.ClickException):
    """Standard output cannot be written. Ends the command; without a message where the reader has closed the pipe."""

    def __init__(self, error: OSError) -> None:
        """Take the error of the write."""
        super().__init__(f"cannot write to standard output: {error.strerror}")
        self.closed_pipe = error.errno == errno.EPIPE
        if self.closed_pipe:
            vars(self)["exit_code"] = SIGPIPE_EXIT  # click's class says 1

    def show(self, file: object = None) -> None:
        """Print the message, except for a closed pipe, which is the normal end of `… | head`."""
        del file
        if not self.closed_pipe:
            super().show()


class StandardOutput(io.FileIO):
    """The file behind `sys.stdout`. A write that fails ends the command."""

    ended = False
    """Whether the command has ended: then the interpreter's last flush must not fail."""

    def write(self, data: Any, /) -> int:
        """Write some bytes.

        Raises:
            OutputLost: they cannot be written.
        """
        try:
            return super().write(data)
        except OSError as error:
            if self.ended:
                return len(data)
            raise OutputLost(error) from None


class StandardError(io.FileIO):
    """The file behind `sys.stderr`. What cannot be written is dropped, since there is no place to report it."""

    def write(self, data: Any, /) -> int:
        """Write some bytes."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare_streams() -> StandardOutput:
    """Replace `sys.stdout` and `sys.stderr` by streams that no text and no closed file can break.

    A stream that is closed at the start (`>&-`) is read from and written to `/dev/null`.
    """
    codecs.register(_find_plain_ascii)
    codecs.register_error(ENCODE_ERRORS, _write_plainly)
    _open_closed_files()
    output = StandardOutput(1, "wb", closefd=False)
    sys.stdout = _text_stream(output, sys.stdout)
    sys.stderr = _text_stream(StandardError(2, "wb", closefd=False), sys.stderr)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a file that is open until the end
    return output


def text_arguments(arguments: list[str]) -> list[str]:
    """Return the arguments of the command; those that the locale could not decode are decoded as UTF-8.

    Raises:
        SystemExit: with exit code 2, after a message: one is not UTF-8. The name of a file (`@…`) need not be.
    """
    decoded = []
    for number, argument in enumerate(arguments, start=1):
        undecoded = any("\ud800" <= character <= "\udfff" for character in argument)
        try:
            is_text = argument.startswith("@") or not undecoded
            decoded.append(argument if is_text else os.fsencode(argument).decode("utf-8"))
        except UnicodeError:
            click.echo(f"Error: argument {number} ({argument}) is not text in UTF-8", err=True)
            raise SystemExit(2) from None
    return decoded


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return JSON that standard output can write: with escapes where its encoding is not UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return json.dumps(value, indent=indent, ensure_ascii=not encoding.lower().startswith("utf"))


def _open_closed_files() -> None:
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(opened, True)  # noqa: FBT003 - its only parameter


def _text_stream(raw: io.FileIO, replaced: TextIO | None) -> io.TextIOWrapper:
    encoding = getattr(replaced, "encoding", None) or "utf-8"
    if codecs.lookup(encoding).name == "ascii":
        encoding = PLAIN_ASCII
    lines = raw.isatty() or isinstance(raw, StandardError)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, ENCODE_ERRORS, line_buffering=lines)


def _find_plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name != PLAIN_ASCII.replace("-", "_"):
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(
        found.encode,
        found.decode,
        found.streamreader,
        found.streamwriter,
        found.incrementalencoder,
        found.incrementaldecoder,
        name=PLAIN_ASCII,
    )


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = (PLAIN_MARKS.get(mark) or mark.encode("unicode_escape").decode("ascii") for mark in text)
    return "".join(plain), error.end
