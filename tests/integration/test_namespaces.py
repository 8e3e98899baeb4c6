"""Two environments on one Redis, and what a worker checks before it consumes."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.conftest import image_request
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


def refused(env: dict[str, str], log: Path) -> str:
    """Start a worker that must end with exit code 1, and return its log."""
    running = WorkerProcess(env, log)
    wait_until(lambda: running.child.exit_code is not None, "the worker ends", within=40)
    running.stop()
    assert running.child.exit_code == 1
    assert "Traceback" not in running.text()
    return running.text()


def test_another_account_is_refused(isolated_env: dict[str, str], tmp_path: Path) -> None:
    """A worker with another API key or base URL refuses to start and names the setting that allows the change."""
    WorkerProcess(isolated_env, tmp_path / "first.log").ready().stop()
    text = refused(isolated_env | {"PHOTOGPT_API_KEY": "another-key"}, tmp_path / "key.log")
    assert "another API key" in text
    assert "another-key" not in text
    other = isolated_env | {"PHOTOGPT_BASE_URL": "http://127.0.0.1:9/api"}
    text = refused(other, tmp_path / "url.log")
    assert "PHOTOGPT_NAMESPACE" in text
    replaced = text.partition("PHOTOGPT_REPLACE_ACCOUNT=")[2].split()[0]
    WorkerProcess(other | {"PHOTOGPT_REPLACE_ACCOUNT": replaced}, tmp_path / "moved.log").ready().stop()


@pytest.mark.usefixtures("redis_broker")
def test_a_namespace_of_its_own(isolated_env: dict[str, str], sandbox: SandboxProcess, tmp_path: Path) -> None:
    """A worker with a namespace takes jobs from its own queue, and every key that it leaves begins with the name."""
    del sandbox
    url = isolated_env["PHOTOGPT_REDIS_URL"]
    running = WorkerProcess(isolated_env | {"PHOTOGPT_NAMESPACE": "staging"}, tmp_path / "worker.log").ready()
    try:
        app = Celery("shop", broker=url, backend=url, set_as_current=False)
        app.conf.result_backend_transport_options = {"global_keyprefix": "staging:"}
        result = app.send_task("photogpt.generate_image", kwargs={"request": image_request()}, queue="staging.celery")
        assert result.get(timeout=30)["state"] == "succeeded"
        with redis.Redis.from_url(url, decode_responses=True) as client:
            names = {str(name) for name in client.scan_iter()}
        assert {name for name in names if not name.startswith(("staging", "_kombu.binding"))} == set()
        app.close()
    finally:
        running.stop()


def test_a_foreign_task_goes_back(isolated_env: dict[str, str], tmp_path: Path) -> None:
    """A task of another Celery app in our queue is kept for that app, with one warning that names the setting."""
    running = WorkerProcess(isolated_env, tmp_path / "worker.log").ready()
    url = isolated_env["PHOTOGPT_REDIS_URL"]
    with Celery("shop", broker=isolated_env["PHOTOGPT_BROKER_URL"], backend=url, set_as_current=False) as app:
        result = app.send_task("shop.save")
        wait_until(lambda: "message.foreign" in running.text(), "the worker warns")
        running.stop()
        assert "PHOTOGPT_QUEUE" in running.text()
        with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
            assert queue.get(timeout=10).headers["id"] == result.id
