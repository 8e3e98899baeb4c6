"""The obvious design: one Celery task per job that sends itself again every few seconds until the job has ended.

Written as its users would write it, and not slowed down: a session with kept-alive connections for each thread, late
acknowledgement as Celery's manual advises for work that must not be lost, the generation's id handed on from try to
try, the outcome in the Redis backend. The threads pool has as many threads as a worker of ours. Celery's default
visibility timeout of an hour stands: a shorter one would bring messages twice as soon as the worker is busy.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import requests
from celery import Celery

INTERVAL_S = float(os.environ.get("BENCH_INTERVAL_S", "5"))
API = os.environ.get("PHOTOGPT_BASE_URL", "")
REDIS_URL = os.environ.get("PHOTOGPT_REDIS_URL", "redis://127.0.0.1:6379/0")
UNFINISHED = {"created", "queued", "running"}

app = Celery("retrying", broker=REDIS_URL, backend=REDIS_URL, set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)

_own = threading.local()


@app.task(bind=True, max_retries=None, name="retrying.generate")
def generate(self: Any, request: dict[str, Any], generation_id: str | None = None) -> Any:
    """Trigger, look every few seconds until it has ended, return the outcome."""
    if generation_id is None:
        generation_id = str(call("POST", "/images/generation", json=request)["jobId"])
        raise self.retry(args=(), kwargs={"request": request, "generation_id": generation_id}, countdown=INTERVAL_S)
    seen = call("GET", f"/jobs/{generation_id}")
    status = seen["status"].lower()
    if status in UNFINISHED:
        raise self.retry(countdown=INTERVAL_S)
    if status == "failed":
        raise RuntimeError(seen.get("error"))
    return seen


def call(method: str, path: str, **options: Any) -> Any:
    """Return the `result` of PhotoGPT's answer."""
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.headers.update({"Authorization": f"Bearer {os.environ['PHOTOGPT_API_KEY']}", "API-Version": "1"})
    answer = _own.session.request(method, API + path, timeout=20, **options)
    answer.raise_for_status()
    return answer.json()["result"]
