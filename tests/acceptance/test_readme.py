"""The code in the README and in ops/docs, run as it is printed."""

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
from tests.parts import need_program
from tests.running import WEBHOOK_SECRET, keys
from tests.waiting import wait_until
from worker.cli.local.processes import Child, free_port
from worker.sandbox.remote import SandboxProcess

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "ops" / "docs").glob("*.md"))]
BLOCK = re.compile(r"```\w+\n# (\S+\.\w+)\n(.*?)```", re.DOTALL)
BLOCKS = {name: f"# {name}\n{code}" for page in PAGES for name, code in BLOCK.findall(page.read_text())}


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """Write the code of the pages into files, in a folder outside the repository."""
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def run(script: Path, **env: str) -> str:
    """Run a script to its end and return its standard output."""
    command = ["sh" if script.suffix == ".sh" else sys.executable, str(script)]
    done = subprocess.run(
        command, env={**os.environ, **env}, cwd=script.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_is_run() -> None:
    """Every named block of code in the README and in ops/docs is run by a test of this module."""
    sent = {"enqueue.py", "canvas.py", "inbox.sh", "enqueue.sh", "produce.py", "produce_async.py"}
    sent |= {"produce_events.py", "signatures.py", "batch.py"}
    assert set(BLOCKS) == sent | {"receive.py", "follow.py"}


@pytest.mark.usefixtures("worker")
def test_enqueue(scripts: Path, worker_env: dict[str, str]) -> None:
    """The Celery producer of the page gets an image's URL as its Celery result."""
    printed = run(scripts / "enqueue.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"])

    assert printed.startswith("succeeded http://")


@pytest.mark.usefixtures("worker")
def test_canvas(scripts: Path, worker_env: dict[str, str], sandbox: SandboxProcess) -> None:
    """The chain of training, image and upscale ends with an image, without code in between."""
    sandbox.control.model("model_a", status="new", duration_s=0.5)

    printed = run(scripts / "canvas.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"], MODEL_ID="model_a")

    assert printed.startswith("http://")


@pytest.mark.usefixtures("worker")
def test_inbox(scripts: Path, client: redis.Redis, worker_env: dict[str, str]) -> None:
    """A shell appends a job to the inbox, and a worker finishes it."""
    need_program("redis-cli")
    run(scripts / "inbox.sh", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"])
    wait_until(lambda: client.hget(keys.job("order-17"), "state") == "succeeded", "the job ends")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("produce.py", r"^http://\S+"),
        ("produce_events.py", r"job\.succeeded\nhttp://\S+"),
        ("produce_async.py", r"^(succeeded\n){2}succeeded"),
        ("signatures.py", r"^http://\S+"),
        ("batch.py", r"^20"),
    ],
)
def test_the_package(scripts: Path, worker_env: dict[str, str], name: str, end: str) -> None:
    """The programs of the producers' page print what they promise."""
    printed = run(scripts / name, PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"])
    assert re.search(f"{end}\\n$", printed), printed


@contextmanager
def running(argv: list[str], env: dict[str, str], log: Path) -> Iterator[Child]:
    """Run a process as long as the block lasts."""
    child = Child("process", argv, env=env, log=log)
    try:
        yield child
    finally:
        child.stop()


def answers(url: str, user: str = "") -> bool:
    """Return whether a server answers at a URL."""
    request = urllib.request.Request(url)
    request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()  # an error status is an answer, too
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("worker")
def test_enqueue_through_flower(scripts: Path, worker_env: dict[str, str], client: redis.Redis, tmp_path: Path) -> None:
    """The curl command enqueues a job through Flower, with its login."""
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
        printed = run(scripts / "enqueue.sh", FLOWER_URL=url, **env)

    task_id = re.search(r'"task-id": ?"([^"]+)"', printed)
    assert task_id, printed
    key = f"photogpt:job:{{{task_id[1]}}}"
    wait_until(lambda: client.hget(key, "state") == "succeeded", "the job has succeeded")


@pytest.mark.usefixtures("worker")
def test_receive_and_follow(scripts: Path, worker_env: dict[str, str], producer: Celery, tmp_path: Path) -> None:
    """The receiver verifies a webhook, and the reader of the stream sees the job's end."""
    port = free_port()
    log = tmp_path / "receiver.log"
    with running(
        [sys.executable, str(scripts / "receive.py")], {"WEBHOOK_SECRET": WEBHOOK_SECRET, "PORT": str(port)}, log
    ):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"), "the receiver listens")
        kwargs = {"request": image_request(), "webhook_url": f"http://127.0.0.1:{port}/"}
        producer.send_task("photogpt.generate_image", kwargs=kwargs, task_id="followed")

        printed = run(scripts / "follow.py", PHOTOGPT_REDIS_URL=worker_env["PHOTOGPT_REDIS_URL"], JOB_ID="followed")
        wait_until(lambda: "job.succeeded followed succeeded" in log.read_text(), "the webhook is verified")

    assert printed.split()[-1] == "succeeded"
