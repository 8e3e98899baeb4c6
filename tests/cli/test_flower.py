"""`photogpt-worker flower`."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from config.settings import Settings, load_settings
from tests.cli.commands import Running
from tests.waiting import wait_until
from worker.cli.context import CommandError
from worker.cli.local.flower import flower_argv, flower_environment
from worker.cli.local.processes import free_port, listens
from worker.cli.main import cli

PASSWORD = "correct horse"


def test_no_secret_stands_on_the_command_line(settings: Settings) -> None:
    """The password reaches Flower through the environment, which other users cannot read."""
    assert PASSWORD not in " ".join(flower_argv(settings))
    assert PASSWORD in flower_environment(settings, PASSWORD)["FLOWER_BASIC_AUTH"]


def test_the_cookie_secret_outlives_a_restart(settings: Settings) -> None:
    """The same password gives the same cookie secret, another password another one."""
    first, again, other = (flower_environment(settings, word)["FLOWER_COOKIE_SECRET"] for word in ("a", "a", "b"))
    assert first == again != other


@pytest.mark.parametrize("password", ["with,comma", "naïve"])
def test_passwords_that_flower_cannot_check_are_refused(password: str, settings: Settings) -> None:
    """Flower splits its logins at commas and compares ASCII: better a message than a login that never works."""
    with pytest.raises(CommandError, match="PHOTOGPT_FLOWER_PASSWORD"):
        flower_environment(settings, password)


def test_the_unauthenticated_api_stays_off() -> None:
    """Whatever the environment says, the API without a login is off."""
    assert flower_environment(load_settings(), None) == {"FLOWER_UNAUTHENTICATED_API": "false"}


def test_it_does_not_start_without_a_password() -> None:
    """Without a password it says what to set, and ends with exit code 2."""
    result = CliRunner().invoke(cli, ["flower"])
    assert result.exit_code == 2
    assert "PHOTOGPT_FLOWER_PASSWORD is not set" in result.stderr


def test_it_asks_for_the_login(worker_env: dict[str, str], tmp_path: Path) -> None:
    """The page opens with the login and not without; Flower takes the place of the command's process."""
    port = free_port()
    env = worker_env | {"PHOTOGPT_FLOWER_PORT": str(port), "PHOTOGPT_FLOWER_PASSWORD": PASSWORD}
    running = Running(tmp_path / "log", env, "flower")
    try:
        wait_until(lambda: listens(port) or running.child.exit_code is not None, f"it listens: {running.text()}")
        url = f"http://127.0.0.1:{port}/workers"
        assert requests.get(url, timeout=5).status_code == 401
        assert requests.get(url, auth=("photogpt", PASSWORD), timeout=5).status_code == 200
        command = Path(f"/proc/{running.child.pid}/cmdline").read_text()
        assert "flower" in command
        assert PASSWORD not in command
    finally:
        assert running.child.stop() == 0
