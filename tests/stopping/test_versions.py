"""Two versions side by side, as in a rolling deploy, and records that a later version wrote."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image, paid
from tests.running import Receiver, WorkerProcess
from tests.waiting import wait_until
from worker.cli.processes import Child
from worker.sandbox.remote import SandboxProcess
from worker.store import keys

ROOT = Path(__file__).parents[2]
OLDER = {"upgrade": "dad5deb", "rollback": "dd0db9c"}
"""The version at the other end: the last before admission, tenants and `replay`; the last before decision 11."""


class OlderWorker(WorkerProcess):
    """A worker process of another version's code."""

    def __init__(self, env: dict[str, str], log: Path, code: Path) -> None:
        """Start it from a directory."""
        self._code = code
        super().__init__(env | {"PYTHONPATH": str(code)}, log)

    def start(self) -> None:
        """Start it; `-P` keeps our own directory from standing before its code."""
        self._from = len(self.text())
        told = "import worker.cli.main as main; print('code from', main.__file__, flush=True); main.main()"
        self.child = Child("worker", [sys.executable, "-P", "-c", told, "worker"], env=self._env, log=self.log)


@pytest.fixture
def older_code(order: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the older version, out of the repository."""
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", OLDER[order], "worker", "config"]
    packed = subprocess.run(command, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip(f"no repository with commit {OLDER[order]} here: {packed.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def enqueue(producer: Celery, count: int, receiver: Receiver) -> list[Any]:
    """Enqueue some images that take a moment."""
    kwargs = {"request": image(duration_s=1.5), "webhook_url": receiver.url}
    return [producer.send_task("photogpt.generate_image", kwargs=kwargs) for _ in range(count)]


@pytest.mark.parametrize("order", ["upgrade", "rollback"])
def test_rolling_deploy(  # noqa: PLR0917 - fixtures
    producer: Celery,
    client: redis.Redis,
    apart: dict[str, str],
    sandbox: SandboxProcess,
    receiver: Receiver,
    older_code: Path,
    tmp_path: Path,
    order: str,
) -> None:
    """Jobs from before, during and after the switch all end, each paid and told once, there and back again."""
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    if order == "upgrade":
        leaving: WorkerProcess = OlderWorker(apart, old, older_code).ready()
    else:
        leaving = WorkerProcess(apart, new).ready()
    results = enqueue(producer, 5, receiver)
    wait_until(lambda: paid(sandbox) == 5, "the first ones run")
    staying: WorkerProcess = WorkerProcess(apart, new) if order == "upgrade" else OlderWorker(apart, old, older_code)
    try:
        staying.ready()
        results += enqueue(producer, 10, receiver)
        wait_until(lambda: paid(sandbox) >= 8, "both are at work")
        assert leaving.child.stop() == 0
        results += enqueue(producer, 5, receiver)

        assert [result.get(timeout=60)["state"] for result in results] == ["succeeded"] * 20
        wait_until(lambda: len({got.json["data"]["id"] for got in receiver.got}) == 20, "all webhooks came")
    finally:
        leaving.child.stop()
        staying.child.stop()
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 20
    assert paid(sandbox) == 20
    assert f"code from {older_code}" in old.read_text()
    assert "Traceback" not in old.read_text() + new.read_text()
    assert not any(client.zcard(key) for key in client.scan_iter("photogpt:lane:{*}", _type="zset"))


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("order", ["upgrade"])
def test_results_wait_where_an_older_version_cannot_store_them(
    producer: Celery, client: redis.Redis, apart: dict[str, str], older_code: Path, tmp_path: Path
) -> None:
    """A rollback past decision 8: an older worker ends a job of ours, and the next one of ours tells Celery."""
    ours = WorkerProcess(apart, tmp_path / "ours.log").ready()
    result = producer.send_task("photogpt.generate_image", kwargs={"request": image(duration_s=2)})
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}"), "the job is parked")
    assert ours.child.stop() == 0
    older = OlderWorker(apart, tmp_path / "older.log", older_code).ready()
    wait_until(lambda: client.hget(keys.job(result.id), "state") == "succeeded", "the older one ends it")
    assert older.child.stop() == 0
    assert not result.ready()
    again = WorkerProcess(apart, tmp_path / "again.log").ready()
    try:
        assert result.get(timeout=60)["state"] == "succeeded"
        wait_until(lambda: not client.zcard("photogpt:lane:{results}"), "nobody has to see to its result")
    finally:
        again.child.stop()


@pytest.mark.usefixtures("own_worker")
def test_a_record_of_a_later_version(producer: Celery, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """Schemas only ever add fields: a record of a later one is worked on, and what is not known in it stays."""
    result = producer.send_task("photogpt.generate_image", kwargs={"request": image(duration_s=1.5)})
    wait_until(lambda: client.zcard("photogpt:lane:{jobs}"), "the job is parked")
    later: Any = {"schema": 99, "colour": "blue"}
    client.hset(keys.job(result.id), mapping=later)

    assert result.get(timeout=20)["state"] == "succeeded"

    assert client.hmget(keys.job(result.id), ["schema", "colour"]) == ["99", "blue"]
    assert paid(sandbox) == 1
