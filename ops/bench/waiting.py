"""The vendor's own loop (docs/jobs): trigger, then `wait_for_job`, which polls every 5 s; one thread per job.

    python -m ops.bench.waiting JOBS INTERVAL_S

Prints `ready`, starts at SIGUSR1, prints `done` when all jobs have ended, and waits until it is killed. It stores
nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

API = os.environ.get("PHOTOGPT_BASE_URL", "")
HEADERS = {"Authorization": f"Bearer {os.environ.get('PHOTOGPT_API_KEY', '')}", "API-Version": "1"}
REQUEST = {"modelID": "nanobanana", "prompt": "a quiet harbour at dawn", "aspectRatio": "1:1"}

_own = threading.local()


def session() -> requests.Session:
    """Return this thread's session."""
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.headers.update(HEADERS)
    made: requests.Session = _own.session
    return made


def wait_for_job(job_id: str, interval_s: float) -> Any:
    """Poll until the job has ended."""
    while True:
        answer = session().get(f"{API}/jobs/{job_id}", timeout=120)
        answer.raise_for_status()
        job = answer.json()["result"]
        if job["status"].lower() not in {"created", "queued", "running"}:
            return job
        time.sleep(interval_s)


def generate(interval_s: float) -> Any:
    """Trigger one image and wait for it."""
    answer = session().post(f"{API}/images/generation", json=REQUEST, timeout=120)
    answer.raise_for_status()
    return wait_for_job(answer.json()["result"]["jobId"], interval_s)


def main(jobs: int, interval_s: float) -> None:
    """Run this many jobs at once."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = [pool.submit(generate, interval_s) for _ in range(jobs)]
        ended = [each.result() for each in outcomes]
    print(f"done {len(ended)}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
