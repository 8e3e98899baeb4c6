"""`photogpt-worker demo`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.commands import Running, has_ended, run
from worker.cli.local.processes import free_port
from worker.cli.main import cli
from worker.sandbox.remote import SandboxProcess

PRODUCTION = {
    "PHOTOGPT_API_KEY": "real",
    "PHOTOGPT_API_PROXY_URL": "http://127.0.0.1:9",
    "PHOTOGPT_REDIS_URL": "redis://127.0.0.1:9/0",
    "PHOTOGPT_REDIS_CA_FILE": "/nowhere/ca.pem",
    "PHOTOGPT_NAMESPACE": "live",
    "PHOTOGPT_WEBHOOK_SCHEMES": "https",
    "PHOTOGPT_LOG_LEVEL": "ERROR",
    "CELERY_BROKER_URL": "redis://127.0.0.1:9/1",
}
"""Settings of another installation, none of which a demo can use."""


def test_all_kinds(tmp_path: Path) -> None:
    """`demo` in ASCII beside production's settings ignores them and says so, runs all kinds, and leaves no files."""
    temporary, directory = tmp_path / "tmp", tmp_path / "project"
    temporary.mkdir()
    directory.mkdir()
    (directory / ".env").write_bytes(b"PHOTOGPT_CONCURRENCY=none\xff\n")
    env = {"PHOTOGPT_FLOWER_PORT": str(free_port()), "TMPDIR": str(temporary), "PYTHONIOENCODING": "ascii"}
    ended = run(PRODUCTION | env, "demo", cwd=directory)
    assert ended.returncode == 0, ended.stdout
    unused = ended.stdout.splitlines()[0]
    assert all(name in unused for name in (*PRODUCTION, ".env"))
    assert "Short durations: image 3 s" in ended.stdout
    assert all(f"/media/{kind}_" in ended.stdout for kind in ("image", "video"))
    assert "model demo-model is ready" in ended.stdout
    assert "All 7 jobs succeeded, and the signatures of all 7 webhooks were verified." in ended.stdout
    assert "\x1b" not in ended.stdout
    assert list(temporary.iterdir()) == []
    assert [path.name for path in directory.iterdir()] == [".env"]


def test_an_api_that_does_not_answer() -> None:
    """`demo --yes` ends before it starts anything if PhotoGPT does not answer."""
    env = {"PHOTOGPT_API_KEY": "real", "PHOTOGPT_BASE_URL": f"http://127.0.0.1:{free_port()}/api"}
    result = CliRunner().invoke(cli, ["demo", "--yes"], env=env)
    assert result.exit_code == 1
    assert "PhotoGPT cannot be reached" in result.stderr


@pytest.fixture
def api(sandbox: SandboxProcess) -> dict[str, str]:
    """Environment variables with which the demo uses a fast sandbox as if it were the real API."""
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
    """`demo --yes --model --keep` runs all four kinds with the real API and keeps running until Ctrl-C."""
    running = Running(tmp_path / "log", api, "demo", "--yes", "--model", "mine", "--keep")
    try:
        text = running.wait_for_output("Ctrl-C ends everything.")
        children = running.children()
        assert "spends credits" in text
        assert "All 4 jobs succeeded" in text
        assert running.end_with(signal.SIGINT) == 0
        assert all(has_ended(pid) for pid in children)
    finally:
        running.child.stop()


def test_a_job_that_fails(api: dict[str, str], sandbox: SandboxProcess) -> None:
    """`demo` names a job that failed, prints the end of the worker's log, and ends with exit code 1."""
    sandbox.control.faults({"match": "triggerVideo*", "action": {"directive": {"error": "too dark"}}})
    ended = run(api, "demo", "--yes")
    assert ended.returncode == 1
    assert "Not succeeded: video" in ended.stdout
    assert "too dark" in ended.stdout
