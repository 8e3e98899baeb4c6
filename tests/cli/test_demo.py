"""`photogpt-worker demo`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.commands import Running, gone, run
from worker.cli.local.processes import free_port
from worker.cli.main import cli
from worker.sandbox.remote import SandboxProcess


def test_it_shows_everything(tmp_path: Path) -> None:
    """Without a terminal: a line for each change, then the table with URLs and verified webhooks, and exit code 0."""
    ended = run({"PHOTOGPT_FLOWER_PORT": str(free_port()), "TMPDIR": str(tmp_path)}, "demo")
    assert ended.returncode == 0, ended.stdout
    assert "Durations shortened: image 3 s" in ended.stdout
    assert all(f"https://media.sandbox.invalid/{kind}_" in ended.stdout for kind in ("image", "video"))
    assert "model demo-model is ready" in ended.stdout
    assert "All 7 jobs succeeded, and the signatures of all 7 webhooks were verified." in ended.stdout
    assert "\x1b" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_not_spent_without_a_yes() -> None:
    """With an API key set, the demo asks for --yes and starts nothing."""
    result = CliRunner().invoke(cli, ["demo"], env={"PHOTOGPT_API_KEY": "real"})
    assert result.exit_code == 2
    assert "--yes" in result.stderr


def test_a_key_that_is_refused() -> None:
    """An API that does not answer is told before anything is started."""
    env = {"PHOTOGPT_API_KEY": "real", "PHOTOGPT_BASE_URL": f"http://127.0.0.1:{free_port()}/api"}
    result = CliRunner().invoke(cli, ["demo", "--yes"], env=env)
    assert result.exit_code == 1
    assert "PhotoGPT cannot be reached" in result.stderr


@pytest.fixture
def api(sandbox: SandboxProcess) -> dict[str, str]:
    """What the demo is told to use a quick sandbox as if it were the real API."""
    sandbox.control.options(durations={"image": "0.3", "upscale": "0.3", "video": "0.3", "training": "0.3"})
    sandbox.control.model("mine")
    return {
        "PHOTOGPT_API_KEY": sandbox.key,
        "PHOTOGPT_BASE_URL": sandbox.base_url,
        "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_MODEL_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_FLOWER_PORT": str(free_port()),
    }


def test_the_real_api_and_keep(api: dict[str, str], tmp_path: Path) -> None:
    """With --yes and a model the real API does all four kinds; --keep lets everything run until Ctrl-C."""
    running = Running(tmp_path / "log", api, "demo", "--yes", "--model", "mine", "--keep")
    try:
        text = running.says("Ctrl-C ends everything.")
        children = running.children()
        assert "spends credits" in text
        assert "All 4 jobs succeeded" in text
        assert running.signalled(signal.SIGINT) == 0
        assert all(gone(pid) for pid in children)
    finally:
        running.child.stop()


def test_a_failure_is_told(api: dict[str, str], sandbox: SandboxProcess) -> None:
    """A job that fails is named, with the end of the worker's log, and the exit code is 1."""
    sandbox.control.faults({"match": "triggerVideo*", "action": {"directive": {"error": "too dark"}}})
    ended = run(api, "demo", "--yes")
    assert ended.returncode == 1
    assert "Not succeeded: video" in ended.stdout
    assert "too dark" in ended.stdout
