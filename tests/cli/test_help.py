"""The help texts of the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.cli.commands import run
from worker import __version__
from worker.cli.files.group import FILES
from worker.cli.main import COMMANDS, cli
from worker.cli.webhooks.group import WEBHOOKS

EVERY = [*COMMANDS, *(f"webhooks {name}" for name in WEBHOOKS), *(f"files {name}" for name in FILES)]


def test_the_help_names_every_command() -> None:
    """`photogpt-worker --help` lists every command with one line each."""
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert "photogpt-worker demo" in shown
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", EVERY)
def test_every_help_has_an_example(name: str) -> None:
    """The help of every command has an example, names the variables that it reads, and fits into 80 columns."""
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"photogpt-worker {name}" in result.output
    assert "PHOTOGPT_" in result.output or "No environment variable" in result.output
    assert [line for line in result.output.splitlines() if len(line) > 80 or "\b" in line or "\\b" in line] == []


def test_examples_keep_their_lines() -> None:
    """An example in a help text keeps its line breaks and its indentation."""
    lines = CliRunner().invoke(cli, ["submit", "--help"]).output.splitlines()
    assert '    photogpt-worker submit image --prompt "a quiet harbour" --wait' in lines


def test_the_version_is_that_of_the_package() -> None:
    """`photogpt-worker --version` prints the version of the package."""
    assert __version__ in run({}, "--version").stdout


def test_help_imports_nothing_heavy() -> None:
    """`photogpt-worker --help` imports neither Celery nor Redis, pydantic or rich."""
    code = (
        "import sys; from click.testing import CliRunner; from worker.cli.main import cli;"
        "CliRunner().invoke(cli, ['--help']);"
        "print([name for name in ('celery', 'redis', 'pydantic', 'rich') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_unknown_command_is_a_usage_error() -> None:
    """An unknown command ends with exit code 2."""
    assert CliRunner().invoke(cli, ["dance"]).exit_code == 2
