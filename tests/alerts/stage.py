"""A whole service with faults on demand, under a real Prometheus with the alert rules."""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml
from celery import Celery

from tests.alerts.rules import scaled_rules
from tests.conftest import image_request, make_worker_env
from tests.running import Receiver, WorkerProcess, celery_app
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child, free_port
from worker.sandbox.remote import SandboxProcess

WORKER_SCRAPE_MS = 500
EXPORTER_SCRAPE_MS = 2500
"""The exporter needs two seconds to find out that Redis refuses connections."""

LIMITS = {"PHOTOGPT_CALL_CONCURRENCY": "4", "PHOTOGPT_LIST_POLLING": "false"}
"""So that a few hundred jobs are a backlog."""


class Stage:
    """Valkey, sandbox, two workers, exporter, receiver and Prometheus, each of which can be ended alone."""

    def __init__(self, directory: Path, *, prometheus: str, scale: float) -> None:
        """Prepare; `with` starts everything.

        Args:
            directory: for data and logs.
            prometheus: path of the program.
            scale: by which the durations in the rules are divided.
        """
        self._directory = directory
        self._program = prometheus
        self._scale = scale
        self._stop = ExitStack()
        self._port = free_port()
        self._exporter_port = free_port()
        self._worker_ports = (free_port(), free_port())

    def __enter__(self) -> Self:
        """Start everything and wait until Prometheus scrapes it."""
        with ExitStack() as stop:
            self._start(stop)
            self._stop = stop.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._stop.close()

    def _start(self, stop: ExitStack) -> None:
        self.sandbox = stop.enter_context(SandboxProcess("--duration", "image=0.5"))
        self.valkey = EmbeddedValkey(self._directory / "valkey")
        stop.callback(self.valkey.stop)
        self.receiver = Receiver()
        stop.callback(self.receiver.close)
        self.env = make_worker_env(self.valkey, self.sandbox) | LIMITS
        self.workers = [self._worker(port, stop) for port in self._worker_ports]
        self.start_exporter()
        stop.callback(self.exporter.kill)
        self._start_prometheus()
        stop.callback(self.prometheus.kill)
        self.app: Celery = stop.enter_context(celery_app(self.valkey.url, self.valkey.url))
        for worker in self.workers:
            worker.ready()
        wait_until(lambda: self.query("sum(up)") == [3.0], "Prometheus scrapes workers and exporter", within=30)
        wait_until(lambda: self.query("max(photogpt_workers)") == [2.0], "both workers are seen")

    def _worker(self, port: int, stop: ExitStack) -> WorkerProcess:
        env = self.env | {"PHOTOGPT_HTTP_ADDRESS": f"127.0.0.1:{port}"}
        worker = WorkerProcess(env, self._directory / f"worker-{port}.log", "--name", f"worker-{port}")
        stop.callback(worker.child.kill)
        return worker

    def start_exporter(self) -> None:
        """Start the exporter, also again."""
        env = self.env | {"PHOTOGPT_HTTP_ADDRESS": f"127.0.0.1:{self._exporter_port}"}
        command = [sys.executable, "-m", "worker.cli.main", "metrics"]
        self.exporter = Child("exporter", command, env=env, log=self._directory / "exporter.log")

    def _start_prometheus(self) -> None:
        rules = self._directory / "alerts.yml"
        rules.write_text(yaml.safe_dump(scaled_rules(self._scale)))
        jobs = {"photogpt-worker": WORKER_SCRAPE_MS, "photogpt-exporter": EXPORTER_SCRAPE_MS}
        ports = {"photogpt-worker": self._worker_ports, "photogpt-exporter": [self._exporter_port]}
        config = {
            "global": {"evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {
                    "job_name": job,
                    "scrape_interval": f"{every}ms",
                    "scrape_timeout": f"{every}ms",
                    "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports[job]]}],
                }
                for job, every in jobs.items()
            ],
        }
        path = self._directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        command = [self._program, f"--config.file={path}", f"--storage.tsdb.path={self._directory}/prometheus"]
        log = self._directory / "prometheus.log"
        self.prometheus = Child("prometheus", [*command, f"--web.listen-address=127.0.0.1:{self._port}"], log=log)

    @property
    def prometheus_url(self) -> str:
        """The URL of Prometheus."""
        return f"http://127.0.0.1:{self._port}"

    def query(self, expr: str) -> list[float]:
        """Return the values that Prometheus gives for an expression; none while it starts."""
        return [float(each["value"][1]) for each in self._ask("query", query=expr).get("result", [])]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._ask("alerts").get("alerts", [])
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _ask(self, path: str, **query: str) -> dict[str, Any]:
        url = f"{self.prometheus_url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except OSError:
            return {}

    def send(self, count: int = 1, *, kind: str = "image", webhook_url: str | None = None, **sandbox: Any) -> list[Any]:
        """Enqueue jobs as another service does; `kind` is image or video."""
        request = image_request(**sandbox) | ({"modelID": "veo-3.1"} if kind == "video" else {})
        kwargs = {"request": request} | ({"webhook_url": webhook_url} if webhook_url else {})
        return [self.app.send_task(f"photogpt.generate_{kind}", kwargs=kwargs) for _ in range(count)]

    def train(self, model: str) -> Any:
        """Enqueue a training."""
        return self.app.send_task("photogpt.train_model", kwargs={"request": {"modelID": model}})
