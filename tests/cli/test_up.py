"""`photogpt-worker up`: everything on one machine, and nothing of it left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Running, gone, run
from tests.waiting import wait_until
from worker.cli.local.processes import free_port

SOON = '{"prompt": "x", "sandbox": {"duration_s": 1}}'
NEVER = '{"prompt": "x", "sandbox": {"end": "never"}}'
ENDS = "Ctrl-C ends everything."


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """What `up` is told in a test."""
    return {
        "PHOTOGPT_DATA_DIR": str(tmp_path / "data"),
        "PHOTOGPT_FLOWER_PORT": str(free_port()),
        "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_API_CALL_DEADLINE_S": "5",
        "PHOTOGPT_VISIBILITY_TIMEOUT_S": "10",
    }


@pytest.fixture
def up(env: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    """An `up` that is ready."""
    running = start(env, tmp_path / "up.log")
    yield running
    running.child.stop()


def start(env: dict[str, str], log: Path) -> Running:
    """Start `up` on free ports and wait until it is ready."""
    running = Running(log, env, "up", "--redis-port", "0", "--sandbox-port", "0")
    running.says(ENDS)
    return running


def producing(up: Running) -> dict[str, str]:
    """Return the variable that `up` tells producers to set."""
    line = next(line for line in up.text().splitlines() if line.startswith("export "))
    name, _, url = line.removeprefix("export ").partition("=")
    return {name: url.strip()}


def process(up: Running, words: str) -> int:
    """Return the child of `up` whose command line holds some words."""
    return next(pid for pid, command in up.children().items() if words in command)


def test_it_says_what_runs_and_restarts_what_dies(up: Running) -> None:
    """The table is printed, secrets stay out of command lines, and a killed worker's job is finished."""
    text = up.text()
    assert all(word in text for word in ("sandbox", "embedded Valkey", "Flower", "whsec_", "worker-1", "send_task"))
    password = text.partition("password ")[2].split()[0]
    commands = up.children()
    assert len(commands) == 4
    assert not any(password in command or "whsec_" in command for command in commands.values())
    job_id = run(producing(up), "submit", "image", "--request", SOON).stdout.strip()
    os.kill(process(up, "worker.cli.main worker"), signal.SIGKILL)
    assert "was killed by SIGKILL; it restarts" in up.says("worker-1 runs again")
    wait_until(lambda: state(up, job_id) == "succeeded", "the job is finished")


def test_ctrl_c_leaves_nothing_and_a_new_start_knows_everything(
    up: Running, env: dict[str, str], tmp_path: Path
) -> None:
    """After SIGINT no child is left, and jobs under way go on when `up` starts again on the same data."""
    job_id = run(producing(up), "submit", "image", "--request", SOON).stdout.strip()
    children = up.children()
    assert up.signalled(signal.SIGINT) == 0
    assert all(gone(pid) for pid in children)
    again = start(env, tmp_path / "again.log")
    try:
        wait_until(lambda: state(again, job_id) == "succeeded", "the job is finished")
    finally:
        assert again.signalled(signal.SIGTERM) == 0


def test_kill_9_leaves_nothing(up: Running) -> None:
    """Even when `up` itself is killed in the midst of work, all its children end."""
    run(producing(up), "submit", "image", "--request", NEVER)
    children = up.children()
    up.child.kill()
    wait_until(lambda: all(gone(pid) for pid in children), f"all of {children} have ended")


def test_one_s_own_redis_key_and_no_flower(worker_env: dict[str, str], env: dict[str, str], tmp_path: Path) -> None:
    """With Redis and a key of one's own, nothing but workers is started, and no sandbox is claimed."""
    running = Running(tmp_path / "log", worker_env | env, "up", "--no-flower", "--workers", "2")
    try:
        text = running.says(ENDS)
        assert "costs credits" in text
        assert "Webhook secret" not in text
        assert len(running.children()) == 2
    finally:
        running.child.stop()


def state(up: Running, job_id: str) -> object:
    """Return how a job is, as `show` tells it."""
    shown = run(producing(up), "show", job_id, "--json")
    return json.loads(shown.stdout)["outcome"]["state"] if shown.returncode == 0 else None
