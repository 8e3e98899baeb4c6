"""The obvious design, to compare with: one Celery task per job that sends itself again until the job has ended.

Written as its users would write it, with all that Celery offers for safety: late acknowledgement, rejection on loss of
a worker, the generation's id handed on from try to try, retries without end on whatever may pass, webhooks as tasks of
their own with back-off, and a visibility timeout of 30 s (an hour is the default) so that it gets its messages back.
The one thing added for the audit is an entry in a stream at each trigger and each end.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import redis
import requests
from celery import Celery, signals

from tests.running import WorkerProcess
from worker.cli.local.processes import Child

STREAM = "obvious:events"
POLL_S = 1
RETRY_S = 2
REDIS_URL = os.environ.get("PHOTOGPT_REDIS_URL", "redis://127.0.0.1:6379/0")
API = os.environ.get("PHOTOGPT_BASE_URL", "")
HEADERS = {"Authorization": f"Bearer {os.environ.get('PHOTOGPT_API_KEY', '')}", "API-Version": "1"}

app = Celery("obvious", broker=REDIS_URL, backend=REDIS_URL, set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": 30},
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_hijack_root_logger=False,
)


class Passing(Exception):
    """PhotoGPT did not answer as it should; it may next time."""


@app.task(bind=True, max_retries=None, name="obvious.generate")
def generate(self: Any, kind: str, request: dict[str, Any], webhook_url: str, generation_id: str | None = None) -> Any:
    """Trigger, look until it has ended, tell the receiver, return the outcome."""
    try:
        if generation_id is None:
            generation_id = trigger(kind, request)
            tell(self.request.id, "submitted")
        seen = look(kind, generation_id)
    except (requests.RequestException, Passing) as error:
        raise again(self, generation_id, RETRY_S) from error
    if str(seen.get("status", "")).lower() not in {"success", "failed", "ready"}:
        raise again(self, generation_id, POLL_S)
    outcome = {"id": self.request.id, "state": "succeeded", "images": seen.get("images")}
    tell(self.request.id, "succeeded")
    deliver.delay(webhook_url, {"type": "job.succeeded", "data": outcome})
    return outcome


def again(task: Any, generation_id: str | None, seconds: float) -> Any:
    """Send the task again under its own id, with the generation that is known by now."""
    kwargs = task.request.kwargs | {"generation_id": generation_id}
    return task.retry(args=(), kwargs=kwargs, countdown=seconds, throw=False)


@app.task(
    name="obvious.deliver",
    autoretry_for=(requests.RequestException,),
    retry_backoff=2,
    retry_backoff_max=30,
    max_retries=9,
    bind=True,
)
def deliver(self: Any, url: str, body: dict[str, Any]) -> None:
    """Post one webhook."""
    requests.post(url, json=body, headers={"webhook-id": self.request.id}, timeout=5).raise_for_status()


def trigger(kind: str, request: dict[str, Any]) -> str:
    """Ask PhotoGPT to start; return what to look at."""
    if kind == "training":
        call("GET", f"/models/{request['modelID']}/train")
        return str(request["modelID"])
    return str(call("POST", "/images/generation", json=request)["jobId"])


def look(kind: str, generation_id: str) -> Any:
    """Look once."""
    return call("GET", f"/models/{generation_id}" if kind == "training" else f"/jobs/{generation_id}")


def call(method: str, path: str, **options: Any) -> Any:
    """Return the `result` of an answer; raise `Passing` for what may pass, and something else for what may not."""
    answer = requests.request(method, API + path, headers=HEADERS, timeout=5, **options)
    if answer.status_code in {404, 409, 429} or answer.status_code >= 500:
        raise Passing(f"{answer.status_code}: {answer.text[:100]}")
    if answer.status_code >= 400:
        raise ValueError(f"{answer.status_code}: {answer.text[:100]}")
    return answer.json()["result"]


def tell(job_id: str, what: str) -> None:
    """Write an entry for the audit, if Redis is there."""
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(REDIS_URL, socket_timeout=2) as client:
        client.xadd(STREAM, {"job": job_id, "type": f"job.{what}"})


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    sys.stderr.write("worker.ready\n")
    sys.stderr.flush()


class ObviousWorker(WorkerProcess):
    """A Celery worker of the obvious design in a process of its own."""

    def start(self) -> None:
        """Start it, again after it was stopped or killed."""
        self._from = len(self.text())
        name = f"obvious-{id(self)}-{self._from}@%h"
        options = ["--pool=threads", "--concurrency=16", f"--hostname={name}", "--loglevel=WARNING"]
        command = [sys.executable, "-m", "celery", "-A", "tests.chaos.obvious", "worker", *options]
        self.child = Child("worker", [*command, "--without-gossip", "--without-mingle"], env=self._env, log=self.log)
