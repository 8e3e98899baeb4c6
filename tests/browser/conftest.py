"""Fixtures: Chromium, and a Flower that has seen one job of each kind, a failed one and an unfinished one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from celery import Celery
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.conftest import image_request
from tests.parts import need_program
from tests.running import WEBHOOK_SECRET, WorkerProcess, celery_app
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child, free_port
from worker.sandbox.remote import SandboxProcess

FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

USER = "operator"
PASSWORD = "correct-horse"
REDIS_PASSWORD = "redis-battery"
API_KEY = "sandbox-key"
HOOK_PATH = "/hooks/of-a-tenant"
HOOK_QUERY = "token=staple"

KINDS = {
    "image": "photogpt.generate_image",
    "upscale": "photogpt.upscale_image",
    "video": "photogpt.generate_video",
    "training": "photogpt.train_model",
    "refused": "photogpt.generate_image",
    "unfinished": "photogpt.generate_image",
}
"""The jobs of the scene, each with the name of its task."""


@pytest.fixture(scope="session")
def programs() -> tuple[str, str]:
    """The paths of Chromium and its driver."""
    return need_program("chromium"), need_program("chromedriver")


@contextmanager
def chromium_at(programs: tuple[str, str], profile: Path) -> Iterator[Chrome]:
    """Run Chromium with a profile of its own. Both paths are given, so that selenium downloads nothing."""
    options = ChromeOptions()
    options.binary_location, driver = programs
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    chrome = Chrome(options=options, service=ChromeService(driver))
    try:
        chrome.set_page_load_timeout(30)
        page = {"width": 1400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", page)
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture
def logged_out(programs: tuple[str, str], tmp_path: Path) -> Iterator[Chrome]:
    """A browser without a login."""
    with chromium_at(programs, tmp_path / "profile") as chrome:
        yield chrome


@pytest.fixture(scope="module")
def browser(programs: tuple[str, str], scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser that is logged in to Flower."""
    with chromium_at(programs, tmp_path_factory.mktemp("profile")) as chrome:
        chrome.get(scene.url("/broker", login=True))
        yield chrome


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A Flower, its worker and their jobs."""

    port: int
    ids: dict[str, str]
    """Task ids by the names in KINDS."""
    node: str

    def url(self, path: str, *, login: bool = False) -> str:
        """Return the address of a page."""
        return f"http://{f'{USER}:{PASSWORD}@' if login else ''}127.0.0.1:{self.port}{path}"

    def ask(self, path: str) -> Any:
        """Return an answer of Flower's API."""
        return _ask(self.port, path)


@pytest.fixture(scope="module")
def scene(sandbox_process: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A worker and a Flower on their own Valkey with a password, and jobs from a bare producer."""
    logs = tmp_path_factory.mktemp("flower")
    port = free_port()
    sandbox_process.control.reset()
    with ExitStack() as stop:
        valkey = EmbeddedValkey(logs / "valkey")  # the session's Valkey has workers of other tests
        stop.callback(valkey.stop)
        env = _environment(valkey, sandbox_process, port)
        running = WorkerProcess(env, logs / "worker.log", "--name", "line-1")
        stop.callback(running.child.stop)
        running.ready()
        flower = Child("flower", [sys.executable, "-m", "worker.cli.main", "flower"], env=env, log=logs / "flower.log")
        stop.callback(flower.stop)
        wait_until(lambda: _sees_worker(port), f"Flower sees the worker; its log is {logs / 'flower.log'}", within=40)
        with celery_app(valkey.url, valkey.url) as producer:
            ids = _enqueue(producer, sandbox_process)
        wait_until(lambda: _has_seen(port, ids), "Flower has the state of every job", within=40)
        yield Scene(port=port, ids=ids, node=next(iter(_ask(port, "/api/workers"))))


def _environment(valkey: EmbeddedValkey, sandbox: SandboxProcess, port: int) -> dict[str, str]:
    with redis.Redis.from_url(valkey.url) as client:
        client.acl_setuser(
            "service", enabled=True, passwords=[f"+{REDIS_PASSWORD}"], commands=["+@all"], keys=["*"], channels=["*"]
        )
    return {
        "PHOTOGPT_REDIS_URL": valkey.url.replace("://", f"://service:{REDIS_PASSWORD}@"),
        "PHOTOGPT_BASE_URL": sandbox.base_url,
        "PHOTOGPT_API_KEY": API_KEY,
        "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_MODEL_POLL_INTERVAL_S": "0.5",
        "PHOTOGPT_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "PHOTOGPT_FLOWER_PORT": str(port),
        "PHOTOGPT_FLOWER_USER": USER,
        "PHOTOGPT_FLOWER_PASSWORD": PASSWORD,
    }


def _enqueue(producer: Celery, sandbox: SandboxProcess) -> dict[str, str]:
    """Send the tasks of KINDS, and wait for all but the unfinished one."""
    sandbox.control.model("a-model", duration_s=0.5)
    hook = f"http://hooks.example{HOOK_PATH}?{HOOK_QUERY}"
    requests_by_name: dict[str, dict[str, Any]] = {
        "image": {"request": image_request(), "webhook_url": hook, "metadata": {"order": 1207}},
        "upscale": {"request": {"imageID": "image_1207", "sandbox": {"duration_s": 0.5}}},
        "video": {"request": image_request() | {"modelID": "veo-3.1"}},
        "training": {"request": {"modelID": "a-model"}},
        "refused": {"request": {"modelID": "nanobanana"}},
        "unfinished": {"request": image_request(duration_s=600)},
    }
    sent = {name: producer.send_task(KINDS[name], kwargs=kwargs) for name, kwargs in requests_by_name.items()}
    for name, result in sent.items():
        if name != "unfinished":
            result.get(timeout=30, propagate=False)
    return {name: result.id for name, result in sent.items()}


def _ask(port: int, path: str) -> Any:
    answer = requests.get(f"http://127.0.0.1:{port}{path}", auth=(USER, PASSWORD), timeout=10)
    answer.raise_for_status()
    return answer.json()


def _sees_worker(port: int) -> bool:
    """Whether Flower gets the worker's events, and has the worker's details."""
    try:
        online = [worker for worker in _ask(port, "/workers?json=1")["data"] if worker["status"]]
        return bool(online) and bool(_ask(port, "/api/workers?refresh=1"))
    except requests.RequestException:
        return False


def _has_seen(port: int, ids: dict[str, str]) -> bool:
    tasks = _ask(port, "/api/tasks")
    ended = {name for name, task_id in ids.items() if tasks.get(task_id, {}).get("state") in {"SUCCESS", "FAILURE"}}
    return ended == set(ids) - {"unfinished"} and ids["unfinished"] in tasks
