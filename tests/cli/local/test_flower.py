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


def test_the_command_line_has_no_secret(settings: Settings) -> None:
    """Flower gets its password through the environment, not on the command line that other users can read."""
    assert PASSWORD not in " ".join(flower_argv(settings))
    assert PASSWORD in flower_environment(settings, PASSWORD)["FLOWER_BASIC_AUTH"]


def test_the_cookie_secret_depends_on_the_password(settings: Settings) -> None:
    """The cookie secret is the same for the same password, and another one for another password."""
    first, again, other = (flower_environment(settings, word)["FLOWER_COOKIE_SECRET"] for word in ("a", "a", "b"))
    assert first == again != other


@pytest.mark.parametrize("password", ["with,comma", "naïve"])
def test_unusable_passwords(password: str, settings: Settings) -> None:
    """A password with a comma or a non-ASCII character is refused, because no login with it could succeed."""
    with pytest.raises(CommandError, match="PHOTOGPT_FLOWER_PASSWORD"):
        flower_environment(settings, password)


def test_the_unauthenticated_api_stays_off() -> None:
    """Flower's API without a login is off even if there is no password."""
    assert flower_environment(load_settings(), None) == {"FLOWER_UNAUTHENTICATED_API": "false"}


def test_a_missing_password() -> None:
    """`flower` without a password names the variable and ends with exit code 2."""
    result = CliRunner().invoke(cli, ["flower"])
    assert result.exit_code == 2
    assert "PHOTOGPT_FLOWER_PASSWORD is not set" in result.stderr


def test_the_login(worker_env: dict[str, str], tmp_path: Path) -> None:
    """Flower refuses a page without the login, and runs in the process of the command."""
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
