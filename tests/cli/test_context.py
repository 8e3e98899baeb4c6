"""Invalid settings and missing servers: one message and an exit code."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from config.urls import masked
from tests.cli.commands import run
from worker.cli import context
from worker.cli.local.processes import free_port
from worker.cli.main import cli

INVALID = {
    "PHOTOGPT_REDIS_URL": "http://nowhere",
    "PHOTOGPT_CONCURRENCY": "1",
    "PHOTOGPT_WEBHOOK_SECRETS": "whsec_c2hvcnQ=",
}

NEED_REDIS = (
    ["submit", "image", "--prompt", "x"],
    ["watch", "--once"],
    ["jobs"],
    ["status"],
    ["show", "some-id"],
    ["cancel", "some-id"],
)


@pytest.mark.parametrize("name", ["worker", "up", "status", "flower", "ping"])
def test_all_invalid_settings_are_named(name: str) -> None:
    """A command with invalid settings names every invalid variable at once and ends with exit code 2."""
    result = CliRunner().invoke(cli, [name], env=INVALID)
    assert result.exit_code == 2
    assert all(variable in result.stderr for variable in INVALID)
    assert "c2hvcnQ" not in result.output


def test_invalid_settings_cause_no_traceback() -> None:
    """A process with invalid settings prints the message to standard error and nothing to standard output."""
    ended = run(INVALID, "worker")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: the settings cannot be used:")


@pytest.mark.parametrize("argv", NEED_REDIS, ids=lambda argv: argv[0])
def test_a_missing_redis_is_one_sentence(argv: list[str]) -> None:
    """A command that cannot reach Redis prints one sentence without the password and ends with exit code 1."""
    url = f"redis://:top-secret@127.0.0.1:{free_port()}/0"
    result = CliRunner().invoke(cli, argv, env={"PHOTOGPT_REDIS_URL": url})
    assert result.exit_code == 1
    assert "Redis does not answer at redis://:…@127.0.0.1" in result.stderr
    assert "top-secret" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_silent_redis_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that accepts connections and answers nothing is asked once, and the command ends with a sentence."""
    monkeypatch.setattr(context, "ANSWER_WITHIN_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        result = CliRunner().invoke(cli, ["jobs"], env={"PHOTOGPT_REDIS_URL": url})
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert result.exit_code == 1
    assert "Redis does not answer at" in result.stderr


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://user:pw@host:1/2", "redis://user:…@host:1/2"),
        ("rediss://:p%40w@host", "rediss://:…@host"),
    ],
)
def test_passwords_are_masked(url: str, printed: str) -> None:
    """A URL is printed without its password."""
    assert masked(url) == printed
