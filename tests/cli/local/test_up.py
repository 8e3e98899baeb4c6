"""`photogpt-worker up`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from tests.cli.commands import Running, has_ended, run
from tests.running import keys
from tests.waiting import wait_until
from worker.cli.local.processes import free_port
from worker.cli.local.stack import own_address
from worker.cli.main import cli

SOON = '{"prompt": "x", "sandbox": {"duration_s": 1}}'
NEVER = '{"prompt": "x", "sandbox": {"end": "never"}}'
ENDS = "Ctrl-C ends everything."


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Environment variables of `up` in a test."""
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


def start(env: dict[str, str], log: Path, *options: str) -> Running:
    """Start `up` on free ports and wait until it is ready."""
    running = Running(log, env, "up", "--redis-port", "0", "--sandbox-port", "0", *options)
    running.wait_for_output(ENDS)
    return running


def producer_env(up: Running) -> dict[str, str]:
    """Return the variable that `up` prints for producers."""
    line = next(line for line in up.text().splitlines() if line.startswith("export "))
    name, _, url = line.removeprefix("export ").partition("=")
    return {name: url.strip()}


def process(up: Running, words: str) -> int:
    """Return the child of `up` whose command line contains some words."""
    return next(pid for pid, command in up.children().items() if words in command)


def test_a_killed_worker_restarts(up: Running, env: dict[str, str]) -> None:
    """`up` shows no secrets in command lines, refuses a second `up`, and a worker goes on after SIGHUP and SIGKILL."""
    text = up.text()
    assert all(word in text for word in ("sandbox", "embedded Valkey", "Flower", "whsec_", "worker-1", "send_task"))
    password = text.partition("password ")[2].split()[0]
    commands = up.children()
    assert len(commands) == 4
    assert not any(password in command or "whsec_" in command for command in commands.values())
    second = run(env, "up")
    assert (second.returncode, "PHOTOGPT_DATA_DIR" in second.stderr) == (1, True)
    worker = process(up, "worker.cli.main worker")
    os.kill(worker, signal.SIGHUP)
    wait_until(lambda: up.text().count("worker.ready") == 1, "the worker takes messages again")
    assert process(up, "worker.cli.main worker") == worker
    job_id = run(producer_env(up), "submit", "image", "--request", SOON).stdout.strip()
    os.kill(worker, signal.SIGKILL)
    assert "was killed by SIGKILL; it restarts" in up.wait_for_output("worker-1 runs again")
    wait_until(lambda: state(up, job_id) == "succeeded", "the job is finished")


@pytest.mark.parametrize("inside", ["a file", "a file/data"])
def test_a_directory_that_cannot_be_written(tmp_path: Path, inside: str) -> None:
    """`up` names PHOTOGPT_DATA_DIR where it cannot write, and starts nothing."""
    (tmp_path / "a file").touch()
    result = CliRunner().invoke(cli, ["up"], env={"PHOTOGPT_DATA_DIR": str(tmp_path / inside)})
    assert result.exit_code == 1
    assert f"{tmp_path / inside} cannot be written" in result.stderr
    assert "set PHOTOGPT_DATA_DIR to a directory" in result.stderr


def test_ctrl_c_and_a_new_start(up: Running, env: dict[str, str], tmp_path: Path) -> None:
    """`up` leaves no process after Ctrl-C, and a new `up` on the same data finishes the jobs."""
    job_id = run(producer_env(up), "submit", "image", "--request", SOON).stdout.strip()
    children = up.children()
    assert up.end_with(signal.SIGINT) == 0
    assert all(has_ended(pid) for pid in children)
    again = start(env, tmp_path / "again.log", "--no-flower")
    try:
        wait_until(lambda: state(again, job_id) == "succeeded", "the job is finished")
    finally:
        assert again.end_with(signal.SIGTERM) == 0


def test_sigkill(up: Running) -> None:
    """No child of `up` survives a SIGKILL of `up`."""
    run(producer_env(up), "submit", "image", "--request", NEVER)
    children = up.children()
    up.child.kill()
    wait_until(lambda: all(has_ended(pid) for pid in children), f"all of {children} have ended")


def test_your_own_redis_and_key(worker_env: dict[str, str], env: dict[str, str], tmp_path: Path) -> None:
    """`up` with your own Redis and API key starts workers only, without a sandbox."""
    running = Running(tmp_path / "log", worker_env | env, "up", "--no-flower", "--workers", "2")
    try:
        text = running.wait_for_output(ENDS)
        assert "costs credits" in text
        assert "Webhook secret" not in text
        assert len(running.children()) == 2
    finally:
        running.child.stop()


def state(up: Running, job_id: str) -> object:
    """Return the state of a job in the Redis of `up`."""
    with redis.Redis.from_url(producer_env(up)["PHOTOGPT_REDIS_URL"], decode_responses=True) as client:
        return client.hget(keys.job(job_id), "state")


@pytest.mark.parametrize(("address", "second"), [("127.0.0.1:9464", "127.0.0.1:9465"), ("[::1]:9464", "[::1]:9465")])
def test_each_worker_serves_metrics_on_its_own_port(address: str, second: str) -> None:
    """The first worker has the address of the setting, and the second one the next port."""
    assert (own_address(address, 0), own_address(address, 1)) == (address, second)
