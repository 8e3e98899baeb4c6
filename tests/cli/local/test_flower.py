"""`photogpt-worker flower`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import yaml
from click.testing import CliRunner

from config.environment import SettingsError
from config.settings import Settings, load_settings
from tests.cli.commands import Running
from tests.serving import serving
from tests.waiting import wait_until
from worker.cli.context import CommandError
from worker.cli.local.flower import flower_argv, flower_environment
from worker.cli.local.processes import free_port, listens
from worker.cli.main import cli

ROOT = Path(__file__).parents[3]
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


def test_the_login_under_a_prefix(worker_env: dict[str, str], tmp_path: Path) -> None:
    """Behind a proxy that passes paths on, Flower asks for the login and every link and health check works."""
    port = free_port()
    env = worker_env | {
        "PHOTOGPT_FLOWER_PORT": str(port),
        "PHOTOGPT_FLOWER_PASSWORD": PASSWORD,
        "PHOTOGPT_FLOWER_URL_PREFIX": "/ops/flower/",
    }
    running = Running(tmp_path / "log", env, "flower")
    try:
        wait_until(lambda: listens(port) or running.child.exit_code is not None, f"it listens: {running.text()}")
        assert requests.get(f"http://127.0.0.1:{port}/ops/flower/workers", timeout=5).status_code == 401
        assert requests.get(f"http://127.0.0.1:{port}/workers", timeout=5).status_code == 404
        with proxy_to(port) as url:
            assert_links_work(f"{url}/ops/flower/")
        assert compose_health_check(port, env) == 0
        assert compose_health_check(port, worker_env) != 0
        command = Path(f"/proc/{running.child.pid}/cmdline").read_text()
        assert "flower" in command
        assert PASSWORD not in command
    finally:
        assert running.child.stop() == 0


def assert_links_work(page: str) -> None:
    """Check that a page and what it links to are under its path, and exist."""
    answer = requests.get(page, auth=("photogpt", PASSWORD), timeout=5)
    assert answer.status_code == 200
    paths = set(re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text))
    assert len(paths) > 5
    for path in paths:
        assert path.startswith(urlsplit(page).path), path
        if not path.endswith("logout"):
            found = requests.get(urljoin(page, path), auth=("photogpt", PASSWORD), timeout=5)
            assert found.status_code == 200, path


def compose_health_check(port: int, env: dict[str, str]) -> int:
    """Run the compose file's health check of Flower against another port, and return its exit code."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    kind, _, *arguments = compose["services"]["flower"]["healthcheck"]["test"]
    assert kind == "CMD"
    arguments = [text.replace("127.0.0.1:5555", f"127.0.0.1:{port}") for text in arguments]
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, timeout=20, check=False
    ).returncode


@contextmanager
def proxy_to(port: int) -> Iterator[str]:
    """Run a proxy that passes paths and the login on as they are, and yield its URL."""

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name: self.headers[name] for name in ("Authorization", "Host") if self.headers[name]}
            answer = requests.get(f"http://127.0.0.1:{port}{self.path}", headers=headers, timeout=5)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    with serving(Forward) as url:
        yield url


@pytest.mark.parametrize("prefix", ["/", "//x", "a b", "/a/../b", "https://host/x", "/x?y"])
def test_an_unusable_prefix(prefix: str) -> None:
    """A prefix that is not a plain path is refused, and the message names the variable."""
    with pytest.raises(SettingsError, match="PHOTOGPT_FLOWER_URL_PREFIX: must be a path"):
        load_settings(flower_url_prefix=prefix)
