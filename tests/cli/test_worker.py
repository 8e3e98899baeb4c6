"""`photogpt-worker worker`."""

from __future__ import annotations

from pathlib import Path

from celery import Celery
from click.testing import CliRunner

from tests.conftest import image_request
from tests.running import WorkerProcess
from worker.cli.main import cli


def test_one_worker_is_a_complete_service(worker: WorkerProcess, producer: Celery) -> None:
    """A job enqueued by a bare producer comes back as its outcome."""
    outcome = producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}).get(timeout=30)
    assert outcome["state"] == "succeeded"


def test_sigterm_ends_a_worker_in_order(own_worker: WorkerProcess) -> None:
    """A worker that is asked to end does so, with exit code 0 and without a traceback."""
    assert own_worker.child.stop() == 0
    assert "Traceback" not in own_worker.text()
    assert "superuser" not in own_worker.text()


def test_a_worker_takes_only_the_queues_it_was_told(worker_env: dict[str, str], tmp_path: Path) -> None:
    """Queues may be called by their friendly names; Celery's own inspection lists them."""
    url = worker_env["PHOTOGPT_REDIS_URL"].replace("/0", "/6")
    env = worker_env | {"PHOTOGPT_REDIS_URL": url}
    running = WorkerProcess(env, tmp_path / "log", "--queues", "polls,webhooks", "--name", "few@here").ready()
    try:
        with Celery(broker=url, set_as_current=False) as app:
            answers = app.control.inspect(["few@here"], timeout=5, limit=1).active_queues() or {}
        assert {queue["name"] for queue in answers["few@here"]} == {"photogpt.polls", "photogpt.webhooks"}
    finally:
        running.child.stop()


def test_an_unknown_queue_is_named() -> None:
    """A queue that there is not is a usage error that lists those there are."""
    result = CliRunner().invoke(cli, ["worker", "--queues", "polls,dance"])
    assert result.exit_code == 2
    assert "dance is no queue; there are celery, triggers, polls, results, webhooks" in result.stderr
