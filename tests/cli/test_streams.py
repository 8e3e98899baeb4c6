"""Standard output and error of commands: other encodings, a full disk, a closed file, a closed pipe."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
import redis

from tests.cli.commands import COMMAND
from tests.cli.conftest import Invoke
from tests.running import keys
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("worker")

PROMPT = "café ✓ 港"


@pytest.fixture
def stored(invoke: Invoke, client: redis.Redis) -> str:
    """The id of a job in Redis; the id has an escape sequence, markup, an emoji's name and right-to-left text."""
    job_id = "\x1b[31m[red]:smile:\u202eשלום"
    assert invoke("submit", "image", "--prompt", PROMPT, "--id", job_id).exit_code == 0
    wait_until(lambda: client.exists(keys.job(job_id), keys.workers) == 2, "a worker has accepted it")
    return job_id


def shell(env: dict[str, str], script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in which `cli` is the command."""
    argv = ["bash", "-o", "pipefail", "-c", f'cli() {{ {" ".join(COMMAND)} "$@"; }}; {script}']
    return subprocess.run(argv, env={**os.environ, **env}, capture_output=True, timeout=60, check=False)


def test_ascii(worker_env: dict[str, str], stored: str) -> None:
    """Where output is ASCII, commands write plain marks and whole JSON, and end with exit code 0."""
    script = 'cli ping && cli --help && cli jobs && cli show "$JOB" --json'
    ended = shell(worker_env | {"PYTHONIOENCODING": "ascii", "JOB": stored}, script)
    assert (ended.returncode, ended.stderr) == (0, b"")
    text = ended.stdout.decode("ascii")
    assert "+ Redis" in text
    shown = json.loads(text[text.index("\n{") :])
    assert (shown["outcome"]["id"], shown["request"]["prompt"]) == (stored, PROMPT)


def test_latin_1(worker_env: dict[str, str], stored: str) -> None:
    """Where output is Latin-1, a command escapes the characters that it lacks, and ends with exit code 0."""
    ended = shell(worker_env | {"PYTHONIOENCODING": "latin-1", "JOB": stored}, 'cli show "$JOB"')
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "caf\\u00e9 \\u2713 \\u6e2f" in ended.stdout.decode("latin-1")


def test_ids_cannot_move_the_cursor(invoke: Invoke, stored: str) -> None:
    """`jobs` and `show` print an id without control characters, markup and emoji."""
    for text in (invoke("jobs").stdout, invoke("show", stored).stdout):
        assert "·[31m[red]:smile:·שלום" in text


def test_a_full_disk(worker_env: dict[str, str], stored: str) -> None:
    """A command whose output cannot be written prints one sentence and ends with exit code 1."""
    ended = shell(worker_env, "cli jobs > /dev/full")
    assert (ended.returncode, ended.stderr) == (1, b"Error: cannot write to standard output: No space left on device\n")


def test_a_closed_output(worker_env: dict[str, str], stored: str) -> None:
    """A command with closed input, output and error ends as if they were /dev/null."""
    ended = shell(worker_env, "cli jobs <&- >&- 2>&-")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_a_closed_pipe(worker_env: dict[str, str], stored: str) -> None:
    """A command ends silently, with the exit code of SIGPIPE, when its reader has closed the pipe."""
    ended = shell(worker_env, "cli jobs | true")
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_job_is_reported_although_the_output_is_lost(worker_env: dict[str, str], client: redis.Redis) -> None:
    """`submit` prints the id of the stored job on standard error if standard output cannot be written."""
    ended = shell(worker_env, "cli submit image --prompt x > /dev/full")
    assert ended.returncode == 1
    (job_id,) = re.findall(r"job (\S+) is enqueued", ended.stderr.decode())
    wait_until(lambda: client.exists(keys.job(job_id)), "a worker has accepted it")


def test_arguments_in_an_ascii_locale(worker_env: dict[str, str], client: redis.Redis) -> None:
    """Where the locale cannot decode arguments, UTF-8 is read, and anything else is refused by its number."""
    env = worker_env | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = shell(env, r"cli show $'caf\xc3\xa9'; cli show $'\xff'")
    assert ended.returncode == 2
    assert b"there is no job caf\\xe9" in ended.stderr
    assert b"argument 2 (\\udcff) is not text in UTF-8" in ended.stderr
