"""Fixtures for tests of stored outputs: workers that store into a folder and into an S3 server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import make_worker_env
from tests.integration.metrics.conftest import Served
from tests.integration.otlp import Collector, collector
from tests.integration.outputs.s3 import S3Server
from tests.running import Database, WorkerProcess, celery_app, keys
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import free_port
from worker.sandbox.remote import SandboxProcess

QUICK = {"PHOTOGPT_OUTPUTS_STALL_S": "1.5"}
"""A stalled download breaks off, and the lease of a killed worker ends, within seconds."""


@pytest.fixture(scope="session")
def files_sandbox() -> Iterator[SandboxProcess]:
    """A sandbox whose generations and downloads are ready in a moment."""
    durations = [f"{kind}=0.2" for kind in ("image", "upscale", "video", "download")]
    with SandboxProcess(*(word for each in durations for word in ("--duration", each))) as running:
        yield running


@pytest.fixture
def sandbox(files_sandbox: SandboxProcess) -> SandboxProcess:
    """That sandbox without any generation or fault."""
    files_sandbox.control.reset()
    files_sandbox.control.clear()
    return files_sandbox


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server."""
    running = S3Server()
    yield running
    running.stop()


@dataclass(frozen=True)
class Line:
    """A worker that stores files, a producer that sends to it, and what the worker stored."""

    worker: WorkerProcess
    producer: Celery
    client: redis.Redis
    #: Returns every stored file by its key.
    stored: Callable[[], dict[str, bytes]]

    def send(self, kind: str, **options: Any) -> str:
        """Enqueue a job; `sandbox` is its directive, the other options are arguments of the task."""
        tasks = {"image": ("photogpt.generate_image", "nanobanana"), "video": ("photogpt.generate_video", "veo-3.1")}
        name, model = tasks[kind]
        request = {"modelID": model, "prompt": "a quiet harbour", "sandbox": options.pop("sandbox", {})}
        request |= options.pop("request", {})
        return str(self.producer.send_task(name, kwargs={"request": request, **options}).id)

    def outcome(self, job_id: str) -> Any:
        """Return the Celery result of a job once it is there."""
        return self.producer.AsyncResult(job_id).get(timeout=40)

    def record(self, job_id: str) -> dict[str, Any]:
        """Return the record of a job."""
        found: Any = self.client.hgetall(keys.job(job_id))
        return dict(found)

    def wait_for_files(self, job_id: str, *, within: float = 40) -> list[dict[str, Any]]:
        """Return `files` once the job waits for none."""
        wait_until(
            lambda: {"files", "files_error"} & self.record(job_id).keys(),
            f"the files of {job_id} are stored or given up; log: {self.worker.log}",
            within=within,
        )
        return list(json.loads(self.record(job_id).get("files", "[]")))

    def check(self, files: list[dict[str, Any]]) -> None:
        """Compare every entry of `files` with what is stored."""
        stored = self.stored()
        for each in files:
            assert hashlib.sha256(stored[each["key"]]).hexdigest() == each["sha256"]
            assert len(stored[each["key"]]) == each["bytes"]


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder by their paths below it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def line_env(valkey: EmbeddedValkey, sandbox: SandboxProcess, database: Database, **settings: str) -> dict[str, str]:
    """Return the environment of a worker with a database of its own."""
    return make_worker_env(valkey, sandbox) | QUICK | {"PHOTOGPT_REDIS_URL": database.url(valkey.url)} | settings


@contextmanager
def running_worker(env: dict[str, str], log: Path) -> Iterator[WorkerProcess]:
    """Start a worker on an empty database."""
    with redis.Redis.from_url(env["PHOTOGPT_REDIS_URL"]) as client:
        client.flushdb()
    worker = WorkerProcess(env, log).ready()
    yield worker
    worker.stop()


@contextmanager
def line_of(worker: WorkerProcess, env: dict[str, str], stored: Callable[[], dict[str, bytes]]) -> Iterator[Line]:
    """Yield a worker with a producer of its own: kombu's pools live no longer than a module of tests."""
    url = env["PHOTOGPT_REDIS_URL"]
    with redis.Redis.from_url(url, decode_responses=True) as client, celery_app(url, url) as producer:
        yield Line(worker, producer, client, stored)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the line that stores files after the end of a job."""
    return tmp_path_factory.mktemp("outputs") / "kept"


@pytest.fixture(scope="session")
def folder_env(valkey: EmbeddedValkey, files_sandbox: SandboxProcess, folder: Path) -> dict[str, str]:
    """The environment of that line."""
    return line_env(
        valkey,
        files_sandbox,
        Database.FILES_AFTER,
        PHOTOGPT_OUTPUTS=folder.as_uri(),
        PHOTOGPT_OUTPUTS_MAX_BYTES="5000000",
        PHOTOGPT_OUTPUTS_ALLOW_NETWORKS="127.0.0.0/8,::1/128",
    )


@pytest.fixture(scope="session")
def folder_worker(folder_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """The worker of that line. Tests leave it running."""
    with running_worker(folder_env, tmp_path_factory.mktemp("line") / "folder.log") as worker:
        yield worker


@pytest.fixture
def folder_line(folder_worker: WorkerProcess, folder_env: dict[str, str], folder: Path) -> Iterator[Line]:
    """A worker that stores files in a folder after the end of a job."""
    with line_of(folder_worker, folder_env, lambda: files_in(folder)) as line:
        yield line


@pytest.fixture(scope="session")
def s3_env(valkey: EmbeddedValkey, files_sandbox: SandboxProcess, s3: S3Server) -> dict[str, str]:
    """The environment of the line that stores files in a bucket."""
    return line_env(valkey, files_sandbox, Database.FILES_BEFORE, PHOTOGPT_OUTPUTS_WHEN="before", **s3.env)


@pytest.fixture(scope="session")
def spans() -> Iterator[Collector]:
    """A collector of the traces of that line."""
    with collector() as running:
        yield running


@pytest.fixture(scope="session")
def s3_metrics() -> Served:
    """The metrics of that line."""
    return Served(free_port())


@pytest.fixture(scope="session")
def s3_worker(
    s3_env: dict[str, str], s3_metrics: Served, spans: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """The worker of that line, measured and traced. Tests leave it running."""
    observed = {
        "PHOTOGPT_HTTP_ADDRESS": s3_metrics.address,
        "PHOTOGPT_OTLP_ENDPOINT": spans.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with running_worker(s3_env | observed, tmp_path_factory.mktemp("line") / "s3.log") as worker:
        yield worker


@pytest.fixture
def s3_line(s3_worker: WorkerProcess, s3_env: dict[str, str], s3: S3Server) -> Iterator[Line]:
    """A worker that stores files in an S3 bucket before the end of a job."""
    with line_of(s3_worker, s3_env, s3.objects) as line:
        yield line
