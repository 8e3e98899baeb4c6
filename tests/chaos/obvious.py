"""The obvious design, for comparison: one Celery task per job that retries itself until the job has ended.

It is written as its users would write it, with all of Celery's safety options: late acknowledgement, rejection when a
worker is lost, the generation's id passed from retry to retry, unlimited retries on temporary errors, webhooks as tasks
with backoff, and a visibility timeout of 30 s (the default is an hour) for early redelivery. Only the stream entries at
each trigger and each end are added, for the audit.
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


class TemporaryError(Exception):
    """PhotoGPT gave an error answer that a retry may get past."""


@app.task(bind=True, max_retries=None, name="obvious.generate")
def generate(self: Any, kind: str, request: dict[str, Any], webhook_url: str, generation_id: str | None = None) -> Any:
    """Trigger, poll until the generation has ended, send the webhook, return the outcome."""
    try:
        if generation_id is None:
            generation_id = trigger(kind, request)
            append_event(self.request.id, "submitted")
        status = poll(kind, generation_id)
    except (requests.RequestException, TemporaryError) as error:
        raise retry(self, generation_id, RETRY_S) from error
    if str(status.get("status", "")).lower() not in {"success", "failed", "ready"}:
        raise retry(self, generation_id, POLL_S)
    outcome = {"id": self.request.id, "state": "succeeded", "images": status.get("images")}
    append_event(self.request.id, "succeeded")
    deliver.delay(webhook_url, {"type": "job.succeeded", "data": outcome})
    return outcome


def retry(task: Any, generation_id: str | None, seconds: float) -> Any:
    """Retry the task under its own id, with the generation's id if it is known."""
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
    """Start a generation; return the id to poll."""
    if kind == "training":
        call("GET", f"/models/{request['modelID']}/train")
        return str(request["modelID"])
    return str(call("POST", "/images/generation", json=request)["jobId"])


def poll(kind: str, generation_id: str) -> Any:
    """Poll once."""
    return call("GET", f"/models/{generation_id}" if kind == "training" else f"/jobs/{generation_id}")


def call(method: str, path: str, **options: Any) -> Any:
    """Return the `result` of an answer; raise `TemporaryError` for errors worth a retry, ValueError for others."""
    answer = requests.request(method, API + path, headers=HEADERS, timeout=5, **options)
    if answer.status_code in {404, 409, 429} or answer.status_code >= 500:
        raise TemporaryError(f"{answer.status_code}: {answer.text[:100]}")
    if answer.status_code >= 400:
        raise ValueError(f"{answer.status_code}: {answer.text[:100]}")
    return answer.json()["result"]


def append_event(job_id: str, state: str) -> None:
    """Append an event for the audit, if Redis is reachable."""
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(REDIS_URL, socket_timeout=2) as client:
        client.xadd(STREAM, {"job": job_id, "type": f"job.{state}"})


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    sys.stderr.write("worker.ready\n")
    sys.stderr.flush()


class ObviousWorker(WorkerProcess):
    """A Celery worker of the obvious design in its own process."""

    def start(self) -> None:
        """Start the process, also after it was stopped or killed."""
        self._from = len(self.text())
        name = f"obvious-{id(self)}-{self._from}@%h"
        options = ["--pool=threads", "--concurrency=16", f"--hostname={name}", "--loglevel=WARNING"]
        command = [sys.executable, "-m", "celery", "-A", "tests.chaos.obvious", "worker", *options]
        self.child = Child("worker", [*command, "--without-gossip", "--without-mingle"], env=self._env, log=self.log)
