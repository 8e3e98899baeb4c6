"""What the command says of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.cli.commands import run
from worker import __version__
from worker.cli.main import COMMANDS, cli
from worker.cli.webhooks.group import WEBHOOKS

EVERY = [*COMMANDS, *(f"webhooks {name}" for name in WEBHOOKS)]


def test_the_help_names_every_command() -> None:
    """The first page lists all commands with a line each, and says where to begin."""
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert "photogpt-worker demo" in shown
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", EVERY)
def test_every_help_teaches(name: str) -> None:
    """Each command's help says what it does, shows an example, and names the variables that matter."""
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"photogpt-worker {name}" in result.output
    assert "PHOTOGPT_" in result.output or "No environment variable" in result.output


def test_examples_keep_their_lines() -> None:
    """Examples in the help stand on lines of their own."""
    lines = CliRunner().invoke(cli, ["submit", "--help"]).output.splitlines()
    assert '    photogpt-worker submit image --prompt "a quiet harbour" --wait' in lines


def test_the_version_is_the_package_s() -> None:
    """`--version` prints the version of the package."""
    assert __version__ in run({}, "--version").stdout


def test_help_imports_nothing_heavy() -> None:
    """The first page comes without Celery, Redis or pydantic having been imported."""
    code = (
        "import sys; from click.testing import CliRunner; from worker.cli.main import cli;"
        "CliRunner().invoke(cli, ['--help']);"
        "print([name for name in ('celery', 'redis', 'pydantic', 'rich') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_unknown_command_is_a_usage_error() -> None:
    """A command that there is not ends with exit code 2."""
    assert CliRunner().invoke(cli, ["dance"]).exit_code == 2
