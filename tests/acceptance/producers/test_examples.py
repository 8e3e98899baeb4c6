"""Each example sends a job to a real worker and reads its outcome, by the command in the README."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import image_request
from tests.parts import need_program

EXAMPLES = Path(__file__).parents[3] / "ops" / "producers"
README = (EXAMPLES / "README.md").read_text(encoding="utf-8")
COMMANDS: dict[str, str] = dict(re.findall(r"```sh\n# (\w+)[^\n]*\n([^\n]+)\n```", README))
PROGRAMS = {"shell": "redis-cli", "node": "node", "go": "go"}
MAX_LINES = 59


def test_every_example_is_run_and_short() -> None:
    """Every example has a command in the README, and fewer than 60 lines."""
    files = [path for path in EXAMPLES.iterdir() if path.name.startswith("send.")]
    assert {shlex.split(command)[-2] for command in COMMANDS.values()} == {path.name for path in files}
    assert max(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= MAX_LINES


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_sends_a_job_and_reads_its_outcome(name: str, worker_env: dict[str, str]) -> None:
    """An example prints the job's events in order, the state in its record, and its outcome."""
    need_program(PROGRAMS[name])
    *command, _ = shlex.split(COMMANDS[name])
    request = json.dumps(image_request() | {"prompt": "Ein stiller Hafen – 静かな港"}, ensure_ascii=False)
    env = {**os.environ, "REDIS_URL": worker_env["PHOTOGPT_REDIS_URL"], "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [*command, request], cwd=EXAMPLES, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    *events, record, outcome = done.stdout.splitlines()
    assert events in (["job.queued", "job.submitted", *running, "job.succeeded"] for running in ([], ["job.running"]))
    assert record == "record: succeeded"
    assert json.loads(outcome)["images"][0]["url"].startswith("http")


@pytest.mark.usefixtures("worker")
def test_the_shell_example_ends_where_its_entry_is_rejected(worker_env: dict[str, str]) -> None:
    """The shell example does not wait for the outcome of an entry that is no JSON."""
    need_program("redis-cli")
    env = {**os.environ, "REDIS_URL": worker_env["PHOTOGPT_REDIS_URL"]}
    done = subprocess.run(
        ["sh", "send.sh", "{"], cwd=EXAMPLES, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "photogpt-worker rejected" in done.stderr
