"""The obvious design: one Celery task per job that retries itself every few seconds until the job has ended.

It is written as its users would write it: a session with kept-alive connections per thread, late acknowledgement as
Celery's manual advises for work that must not be lost, the generation's id passed from retry to retry, the outcome in
the Redis backend. Its pool has as many threads as our worker. The visibility timeout keeps Celery's default of an hour,
because a shorter one redelivers messages while the worker is busy.
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
    """Trigger, poll every few seconds until the generation has ended, return the outcome."""
    try:
        if generation_id is None:
            generation_id = str(call("POST", "/images/generation", json=request)["jobId"])
            raise self.retry(args=(), kwargs={"request": request, "generation_id": generation_id}, countdown=INTERVAL_S)
        job = call("GET", f"/jobs/{generation_id}")
    except requests.HTTPError as error:
        if error.response.status_code != requests.codes.too_many_requests:
            raise
        raise self.retry(countdown=INTERVAL_S) from error
    status = job["status"].lower()
    if status in UNFINISHED:
        raise self.retry(countdown=INTERVAL_S)
    if status == "failed":
        raise RuntimeError(job.get("error"))
    return job


def call(method: str, path: str, **options: Any) -> Any:
    """Return the `result` of PhotoGPT's answer."""
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.headers.update({"Authorization": f"Bearer {os.environ['PHOTOGPT_API_KEY']}", "API-Version": "1"})
    answer = _own.session.request(method, API + path, timeout=20, **options)
    answer.raise_for_status()
    return answer.json()["result"]
