"""Probes of a real worker: alive through what a restart cannot help, not alive when a loop stands still."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import Celery

from tests.conftest import image_request
from tests.integration.metrics.conftest import BlockingWorker, Served
from tests.integration.redis_faults.servers import Server
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.cli.local.processes import free_port
from worker.sandbox.remote import SandboxProcess

Worker = tuple[WorkerProcess, Served]
KEY = "sandbox-key"
LIMIT_S = 5.0
"""How long a loop may stand still in these tests."""


def waits(worker: Served) -> bool:
    """Return whether the loops that use Redis wait for longer than the limit; the worker must be alive before that."""
    assert worker.status("/live") == 200, worker.get("/live")[1]
    ages = [worker.value("photogpt_loop_age_seconds", part=part) or 0 for part in ("inbox", "lane_monitor")]
    return min(ages) > LIMIT_S + 0.5


def refused(worker: Served) -> str:
    """Return what /live says if the worker is not alive, else an empty text."""
    status, text = worker.get("/live")
    return text if status == 503 else ""


@pytest.mark.parametrize("loop", ["consumer", "lane_monitor"])
def test_a_loop_that_stands_still_is_not_alive(served: Worker, app: Celery, loop: str) -> None:
    """A loop that really blocks inside a living process turns /live false, and /live is true again when it goes on."""
    worker = served[1]
    wait_until(lambda: worker.status("/live") == 200, "the worker is alive")
    app.control.broadcast(f"block_{loop}", arguments={"seconds": 9})
    problem = wait_until(lambda: refused(worker), f"/live sees that {loop} stands still")
    assert f"the {loop} stands still" in problem
    wait_until(lambda: worker.status("/live") == 200, f"{loop} goes on")
    wait_until(lambda: worker.status("/ready") == 200, "the worker is ready again")


def test_a_stopped_process_does_not_answer(served: Worker) -> None:
    """A process under SIGSTOP answers no probe, and is alive again soon after SIGCONT."""
    process, worker = served
    quick = Served(worker.port, timeout_s=0.5)
    process.child.send_signal(signal.SIGSTOP)
    try:
        assert quick.status("/live") == 0
    finally:
        process.child.send_signal(signal.SIGCONT)
    wait_until(lambda: worker.status("/live") == 200, "the worker goes on")


def test_a_rejected_key_is_no_fault(served: Worker, app: Celery, sandbox: SandboxProcess) -> None:
    """While PhotoGPT rejects the API key the worker is alive and ready, and its metrics show the rejection."""
    worker = served[1]
    sandbox.control.keys(revoke=[KEY])
    try:
        app.send_task("photogpt.generate_image", kwargs={"request": image_request()})
        wait_until(lambda: worker.value("photogpt_api_key_rejected") == 1, "the rejection is shown")
        assert (worker.status("/live"), worker.status("/ready")) == (200, 200)
    finally:
        sandbox.control.keys(add=[KEY])


def test_an_outage_of_redis_is_no_fault(worker_env: dict[str, str], tmp_path: Path) -> None:
    """A worker is alive and not ready before Redis answers, and while Redis hangs for longer than a loop may."""
    server, worker = Server(tmp_path / "redis"), Served(free_port())
    env = worker_env | {"PHOTOGPT_REDIS_URL": server.url, "PHOTOGPT_HTTP_ADDRESS": worker.address}
    server.child.kill()
    process = BlockingWorker(env, tmp_path / "worker.log")
    try:
        wait_until(lambda: worker.status("/startup") == 200, "the worker has started before Redis answers")
        assert (worker.status("/live"), worker.status("/ready")) == (200, 503)
        server.start()
        process.ready()
        wait_until(lambda: worker.status("/ready") == 200, "the worker is ready")
        server.freeze()
        wait_until(lambda: waits(worker), "every loop has waited for Redis for longer than a loop may stand still")
        wait_until(lambda: worker.status("/ready") == 503, "the worker is not ready")
        assert worker.status("/live") == 200
        server.thaw()
        wait_until(lambda: worker.status("/ready") == 200, "the worker is ready again")
    finally:
        process.stop()
        server.child.kill()


def test_a_port_in_use_is_named(worker_env: dict[str, str]) -> None:
    """A worker whose address is in use ends before it consumes, and says which variable is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for command in ("worker", "metrics"):
            done = subprocess.run(
                [sys.executable, "-m", "worker.cli.main", command],
                env=worker_env | {"PHOTOGPT_HTTP_ADDRESS": address},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == 1
            assert f"PHOTOGPT_HTTP_ADDRESS={address} cannot be used" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_a_worker_lives_through_a_minute_without_redis(worker_env: dict[str, str], tmp_path: Path, outage: str) -> None:
    """With the limits of production, /live stays true while Redis hangs or is gone for over a minute."""
    server, worker = Server(tmp_path / "redis"), Served(free_port())
    env = worker_env | {"PHOTOGPT_REDIS_URL": server.url, "PHOTOGPT_HTTP_ADDRESS": worker.address}
    process = WorkerProcess(env, tmp_path / "worker.log").ready()
    try:
        wait_until(lambda: worker.status("/ready") == 200, "the worker is ready")
        server.freeze() if outage == "frozen" else server.child.kill()
        ends_at = time.monotonic() + 70
        while time.monotonic() < ends_at:
            assert worker.status("/live") == 200, worker.get("/live")[1]
            time.sleep(0.5)
        assert worker.status("/ready") == 503
        server.thaw() if outage == "frozen" else server.start()
        wait_until(lambda: worker.status("/ready") == 200, "the worker is ready again")
    finally:
        process.stop()
        server.child.kill()
