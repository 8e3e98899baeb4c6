"""`photogpt-worker worker`."""

from __future__ import annotations

from pathlib import Path

from celery import Celery
from click.testing import CliRunner

from tests.conftest import image_request
from tests.running import Database, WorkerProcess
from worker.cli.main import cli

NOWHERE = "redis://127.0.0.1:9/0"


def test_one_worker_is_a_complete_service(worker: WorkerProcess, producer: Celery) -> None:
    """One worker is enough to run a job that a bare producer has enqueued."""
    outcome = producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}).get(timeout=30)
    assert outcome["state"] == "succeeded"


def test_sigterm(own_worker: WorkerProcess) -> None:
    """A worker ends with exit code 0 and without a traceback after SIGTERM."""
    assert own_worker.child.stop() == 0
    assert "Traceback" not in own_worker.text()
    assert "superuser" not in own_worker.text()


def test_a_worker_for_some_queues(worker_env: dict[str, str], tmp_path: Path) -> None:
    """`worker --queues` consumes only these queues, and ignores the variables of another Celery app."""
    url = Database.WORKER_COMMAND.url(worker_env["PHOTOGPT_REDIS_URL"])
    env = worker_env | {"PHOTOGPT_REDIS_URL": url, "APP": "shop", "LOADER": "shop", "BROKER_URL": NOWHERE}
    env |= {"CELERY_BROKER_URL": NOWHERE, "CELERY_RESULT_BACKEND": NOWHERE, "CELERY_CONFIG_MODULE": "shop"}
    running = WorkerProcess(env, tmp_path / "log", "--queues", "polls,webhooks", "--name", "few@here").ready()
    try:
        with Celery(broker=url, set_as_current=False) as app:
            answers = app.control.inspect(["few@here"], timeout=5, limit=1).active_queues() or {}
        assert "CELERY_BROKER_URL in the environment is ignored" in running.text()
        assert {queue["name"] for queue in answers["few@here"]} == {"photogpt.polls", "photogpt.webhooks"}
    finally:
        running.child.stop()


def test_an_unknown_queue() -> None:
    """`worker --queues` with an unknown name lists the known ones and ends with exit code 2."""
    result = CliRunner().invoke(cli, ["worker", "--queues", "polls,dance"])
    assert result.exit_code == 2
    assert "dance is no queue; there are celery, triggers, polls, results, webhooks" in result.stderr
