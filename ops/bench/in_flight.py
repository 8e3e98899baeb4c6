"""Many jobs in flight on one worker: what they cost, and how late their end is noticed.

    .venv/bin/python ops/bench/in_flight.py --jobs 1000 --duration lognormal:25:0.4

Starts a Valkey, a sandbox and one worker of its own on loopback, enqueues the jobs at once through a bare Celery app,
waits until all have ended, prints one JSON object, and stops everything. Bounded by --limit seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from worker.cli.embedded import EmbeddedValkey
from worker.cli.processes import Child
from worker.sandbox.remote import SandboxProcess

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--duration", default="lognormal:25:0.4")
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--limit", type=float, default=400.0)
    parser.add_argument("--kill-after", type=float, default=0.0, help="kill -9 the worker after so many seconds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, SandboxProcess("--duration", f"image={asked.duration}") as sandbox:
        valkey = EmbeddedValkey(Path(folder) / "valkey")
        try:
            print(json.dumps(run(asked, Path(folder), valkey, sandbox), indent=2))
        finally:
            valkey.stop()


def run(asked: argparse.Namespace, folder: Path, valkey: EmbeddedValkey, sandbox: SandboxProcess) -> dict[str, Any]:
    """Enqueue, wait for the end, and return what was measured."""
    env = {
        "PHOTOGPT_REDIS_URL": valkey.url,
        "PHOTOGPT_BASE_URL": sandbox.base_url,
        "PHOTOGPT_API_KEY": "sandbox-key",
        "PHOTOGPT_JOB_POLL_INTERVAL_S": str(asked.interval),
        "PHOTOGPT_LOG_LEVEL": "WARNING",
    }
    argv = [sys.executable, "-m", "worker.cli.main", "worker"]
    worker = Child("worker", argv, env=env, log=folder / "worker.log")
    client = redis.Redis.from_url(valkey.url, decode_responses=True)
    app = Celery(broker=valkey.url, backend=valkey.url, set_as_current=False)
    wait(lambda: bool(app.control.ping(timeout=1)), 60)
    time.sleep(1)
    idle_cpu, idle_memory, empty = cpu_s(worker.pid), resident(worker.pid), client.info("memory")["used_memory"]
    started = time.monotonic()
    for _ in range(asked.jobs):
        app.send_task(
            "photogpt.generate_image",
            kwargs={"request": {"modelID": "nanobanana", "prompt": "a quiet harbour at dawn", "aspectRatio": "1:1"}},
        )
    enqueued = time.monotonic() - started
    most_memory, most_redis, most_parked, killed = 0, 0, 0, False
    while time.monotonic() - started < asked.limit:
        parked = int(client.zcard("photogpt:lane:{jobs}"))
        most_parked = max(most_parked, parked)
        most_memory = max(most_memory, resident(worker.pid))
        most_redis = max(most_redis, client.info("memory")["used_memory"])
        if asked.kill_after and not killed and time.monotonic() - started > asked.kill_after:
            worker.kill()
            worker = Child("worker", argv, env=env, log=folder / "worker.log")
            killed, idle_cpu = True, 0.0
        left = sum(int(client.zcard(f"photogpt:lane:{{{lane}}}")) for lane in ("triggers", "jobs", "results"))
        if not left and not client.llen("celery") and ended(client) >= asked.jobs:
            break
        time.sleep(0.5)
    spent, wall = cpu_s(worker.pid) - idle_cpu, time.monotonic() - started
    state = sandbox.control.state()
    lags = [entry["noticedAfterS"] for entry in state["generations"] if entry["noticedAfterS"] is not None]
    worker.stop()
    return {
        "jobs": asked.jobs,
        "ended": ended(client),
        "created": sum(state["created"].values()),
        "wall_s": round(wall, 1),
        "enqueue_s": round(enqueued, 1),
        "most_parked": most_parked,
        "worker_cpu_ms_per_job": round(1000 * spent / asked.jobs, 2),
        "requests_per_job": round(sum(state["requests"].values()) / asked.jobs, 2),
        "lag_s": {
            "mean": round(statistics.fmean(lags), 2),
            "p50": percentile(lags, 0.5),
            "p99": percentile(lags, 0.99),
        },
        "worker_memory_mb": {"idle": idle_memory / 1e6, "most": most_memory / 1e6},
        "redis_bytes_per_parked_job": round((most_redis - empty) / max(most_parked, 1)),
        "killed": killed,
    }


def ended(client: redis.Redis) -> int:
    """Return how many jobs have ended, from the service-wide stream."""
    events: Any = client.xrange("photogpt:events")
    return sum(1 for _, fields in events if fields["type"].endswith((".succeeded", ".failed")))


def wait(found: Any, seconds: float) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise SystemExit("the worker does not start")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
