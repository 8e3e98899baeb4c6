"""Fixtures for tests of the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from config.settings import Settings
from worker.cli.main import cli

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(settings: Settings) -> Invoke:
    """Run a command in this process, with the settings of a test."""
    del settings

    def run(*argv: str, input: str | None = None) -> Result:  # noqa: A002 - click's name
        result = CliRunner().invoke(cli, argv, input=input, prog_name="photogpt-worker")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run
