"""The README's own code, run as it is printed."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.conftest import image_request
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker.cli.local.processes import Child, free_port
from worker.sandbox.remote import SandboxProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = {name: f"# {name}\n{code}" for name, code in re.findall(r"```\w+\n# (\S+\.\w+)\n(.*?)```", README, re.DOTALL)}


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """A folder with the README's code in files, away from the repository."""
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def run(script: Path, **env: str) -> str:
    """Run a script to its end and return what it printed."""
    command = ["sh" if script.suffix == ".sh" else sys.executable, str(script)]
    done = subprocess.run(
        command, env={**os.environ, **env}, cwd=script.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_is_run() -> None:
    """No code stands in the README that no test runs."""
    assert set(BLOCKS) == {"enqueue.py", "canvas.py", "client.py", "enqueue.sh", "receive.py", "follow.py"}


@pytest.mark.usefixtures("worker")
def test_enqueue(shown: Path, worker_env: dict[str, str]) -> None:
    """Ten lines of Celery get an image."""
    printed = run(shown / "enqueue.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"])

    assert printed.startswith("succeeded https://")


@pytest.mark.usefixtures("worker")
def test_canvas(shown: Path, worker_env: dict[str, str], sandbox: SandboxProcess) -> None:
    """A chain of three needs no glue."""
    sandbox.control.model("model_a", status="new", duration_s=0.5)

    printed = run(shown / "canvas.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"], MODEL_ID="model_a")

    assert printed.startswith("https://")


@pytest.mark.usefixtures("worker")
def test_client(shown: Path, worker_env: dict[str, str]) -> None:
    """Our own client gives a receipt, and waits."""
    assert run(shown / "client.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"]) == "succeeded\n"


@contextmanager
def running(argv: list[str], env: dict[str, str], log: Path) -> Iterator[Child]:
    """Keep a process while a test needs it."""
    child = Child("beside", argv, env=env, log=log)
    try:
        yield child
    finally:
        child.stop()


def answers(url: str, user: str = "") -> bool:
    """Whether a server answers there."""
    request = urllib.request.Request(url)
    request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()  # it answers, if only to say no
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("worker")
def test_enqueue_through_flower(shown: Path, worker_env: dict[str, str], client: redis.Redis, tmp_path: Path) -> None:
    """One curl enqueues, with Flower's login."""
    port = free_port()
    env = worker_env | {
        "PHOTOGPT_FLOWER_PORT": str(port),
        "PHOTOGPT_FLOWER_USER": "ops",
        "PHOTOGPT_FLOWER_PASSWORD": "a password",
    }
    argv = [sys.executable, "-m", "worker.cli.main", "flower"]
    with running(argv, env, tmp_path / "flower.log"):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/healthcheck"), "Flower answers", within=40)
        printed = run(shown / "enqueue.sh", FLOWER_URL=url, **env)

    task_id = re.search(r'"task-id": ?"([^"]+)"', printed)
    assert task_id, printed
    key = f"photogpt:job:{{{task_id[1]}}}"
    wait_until(lambda: client.hget(key, "state") == "succeeded", "the job has succeeded")


@pytest.mark.usefixtures("worker")
def test_receive_and_follow(
    shown: Path, worker_env: dict[str, str], producer: Celery, client: redis.Redis, tmp_path: Path
) -> None:
    """The receiver verifies what comes, and the follower sees the end."""
    port = free_port()
    log = tmp_path / "receiver.log"
    with running(
        [sys.executable, str(shown / "receive.py")], {"WEBHOOK_SECRET": WEBHOOK_SECRET, "PORT": str(port)}, log
    ):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"), "the receiver listens")
        kwargs = {"request": image_request(), "webhook_url": f"http://127.0.0.1:{port}/"}
        producer.send_task("photogpt.generate_image", kwargs=kwargs, task_id="followed")

        printed = run(shown / "follow.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"], JOB_ID="followed")
        wait_until(lambda: "job.succeeded followed succeeded" in log.read_text(), "the webhook is verified")

    assert printed.split()[-1] == "succeeded"
