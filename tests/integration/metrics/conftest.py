"""A worker and an exporter that serve metrics, on a Valkey of their own."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from tests.parts import find_program
from tests.running import WorkerProcess, celery_app
from tests.separate import broker_url, valkey, worker_env
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child, free_port
from worker.sandbox.remote import SandboxProcess

__all__ = ["broker_url", "valkey", "worker_env"]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values of /metrics, by name and labels."""

SLOW_S = 8.0  # for an answer of the exporter while its servers do not answer


@dataclass
class Served:
    """What a process serves on its address."""

    port: int
    timeout_s: float = SLOW_S

    @property
    def address(self) -> str:
        """The value of PHOTOGPT_HTTP_ADDRESS."""
        return f"127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a path; status 0 if nothing answers in time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def status(self, path: str) -> int:
        """Return the status of a path."""
        return self.get(path)[0]

    def samples(self) -> Samples:
        """Return the values of /metrics."""
        text = self.get("/metrics")[1]
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series, or None if it is absent."""
        return self.samples().get((name, frozenset(labels.items())))


def grown(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """Return by how much a series has grown."""
    series = f"photogpt_{name}", frozenset(labels.items())
    return after[series] - before[series]


StartWorker = Callable[..., tuple[WorkerProcess, Served]]

BLOCKING_WORKER = """
import sys, time
from celery.worker.control import control_command
from worker.queue import monitor
from worker.telemetry import health

health.MAX_LOOP_AGE_S = 5.0
health.MAX_REDIS_SILENCE_S = 5.0

@control_command(args=[("seconds", float)])
def block_consumer(state, seconds):
    time.sleep(seconds)

@control_command(args=[("seconds", float)])
def block_lane_monitor(state, seconds):
    ends_at = time.monotonic() + seconds
    monitor.LaneMonitor._mark_worker = lambda self: time.sleep(max(0, ends_at - time.monotonic()))

sys.argv[1:] = ["worker"]
from worker.cli.main import main
main()
"""
"""A worker with short limits of its health, whose loops can be blocked by remote control."""


class BlockingWorker(WorkerProcess):
    """A worker whose loops a test can block."""

    def start(self) -> None:
        """Start the process."""
        self._from = len(self.text())
        self.child = Child("worker", [sys.executable, "-c", BLOCKING_WORKER], env=self._env, log=self.log)


@pytest.fixture(scope="module")
def app(valkey: EmbeddedValkey) -> Iterator[Celery]:
    """A producer's Celery app."""
    with celery_app(valkey.url, valkey.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def store_client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """A client of the Valkey, which is empty at first."""
    with redis.Redis.from_url(valkey.url, decode_responses=True) as opened:
        opened.flushall()
        yield opened


@pytest.fixture(scope="module")
def metrics_env(worker_env: dict[str, str], sandbox_process: SandboxProcess) -> dict[str, str]:
    """The environment of worker and exporter, on an empty sandbox."""
    sandbox_process.control.reset()
    sandbox_process.control.clear()
    return worker_env


@pytest.fixture(scope="module")
def served(
    store_client: redis.Redis, metrics_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WorkerProcess, Served]]:
    """A worker with short limits of its health, and what it serves."""
    del store_client
    serving = Served(free_port())
    log = tmp_path_factory.mktemp("metrics") / "worker.log"
    worker = BlockingWorker(metrics_env | {"PHOTOGPT_HTTP_ADDRESS": serving.address}, log).ready()
    yield worker, serving
    worker.child.stop()


@pytest.fixture(scope="module")
def exporter(
    store_client: redis.Redis, metrics_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """What the exporter serves."""
    del store_client
    serving = Served(free_port())
    log: Path = tmp_path_factory.mktemp("metrics") / "exporter.log"
    command = [sys.executable, "-m", "worker.cli.main", "metrics"]
    child = Child("exporter", command, env=metrics_env | {"PHOTOGPT_HTTP_ADDRESS": serving.address}, log=log)
    wait_until(lambda: serving.status("/live") == 200, f"the exporter answers; its log is {log}")
    yield serving
    assert child.stop() == 0


@pytest.fixture(scope="module")
def prometheus(
    served: tuple[WorkerProcess, Served], exporter: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a Prometheus that scrapes both, or 0 where none is installed.

    It starts first, since it scrapes for the first time after five seconds.
    """
    program = find_program("prometheus")
    if program is None:
        yield 0
        return
    directory, port = tmp_path_factory.mktemp("prometheus"), free_port()
    targets = json.dumps([served[1].address, exporter.address])
    scrape = f"scrape_configs: [{{job_name: p, static_configs: [{{targets: {targets}}}]}}]"
    config = directory / "prometheus.yml"
    config.write_text(f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n{scrape}\n")
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={directory}/data"]
    child = Child("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], log=directory / "log")
    yield port
    child.kill()
