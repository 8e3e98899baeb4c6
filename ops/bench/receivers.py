"""Measures whether a dead and a slow webhook receiver delay the good ones.

    python -m ops.bench.receivers --rate 300 --seconds 20

Starts a Valkey, a hundred good receivers, a dead one (accepts connections, reads nothing), a slow one (sends a header
one byte per second) and real worker processes, all on loopback. Jobs are finished through the store at a fixed rate,
spread evenly over the receivers. The measured time runs from that call to the first byte at the receiver.

    idle      four events a second: the time from noticed to the webhook's first byte
    good      the load, good receivers only
    all       the same load, and for the dead and the slow receiver as much as for any good one

`late` counts events of good receivers that had not arrived --settle seconds after the last was stored; the percentiles
count them as arriving then, so with late events they are lower bounds. Prints a table and one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from config.settings import load_settings
from config.webhook_keys import new_webhook_secret
from ops.bench.figures import percentile
from ops.bench.stage import wait
from worker.cli.context import producer
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child
from worker.domain.delivery import plan
from worker.domain.job import Job, JobState, Kind
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, outcome
from worker.queue.publisher import CeleryPublisher
from worker.store.lanes import Tick
from worker.store.records import Unaccepted
from worker.store.store import Store, open_store

IDLE_RATE = 4.0
IDLE_S = 25.0
READY_S = 60.0
FORGET_BATCH = 100
RESULT = JobResult(state=JobState.SUCCEEDED, images=({"id": "image-1", "url": "https://example.com/1.png"},))


@dataclass(frozen=True)
class Measured:
    """One run. Times are milliseconds from storing an event to its first byte at a good receiver."""

    name: str
    events: int
    target_per_s: float
    stored_per_s: float
    late: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    load_before: float


@dataclass(frozen=True)
class Endpoints:
    """The receivers' URLs, and the log of the good ones."""

    good: list[str]
    bad: list[str]
    log: Path

    def arrived(self) -> dict[str, float]:
        """Return when each webhook first arrived, in epoch seconds."""
        found: dict[str, float] = {}
        for line in self.log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                at, webhook_id = line.split()
                found.setdefault(webhook_id, float(at))
        return found


class Load:
    """Finishes jobs, as a worker does that has noticed their end."""

    def __init__(self, store: Store) -> None:
        """Use one store."""
        self._store = store
        self._made = 0
        self._unforgotten: list[str] = []

    def end_job(self, url: str) -> tuple[str, float]:
        """Finish one job with a webhook; return the webhook's id, and when it was stored."""
        self._made += 1
        started = time.time()
        job = Job(
            id=f"bench-{os.getpid()}-{self._made}",
            kind=Kind.IMAGE,
            request={"modelID": "nanobanana", "prompt": "a quiet harbour at dawn"},
            webhook_url=url,
            created_at=started,
            deadline_at=started + 3600,
        )
        data = outcome(job, RESULT, at=started)
        if self._store.jobs.finish(job, data, None, unaccepted=Unaccepted("", "bench")) is None:
            raise SystemExit(f"the store did not finish {job.id}")
        self._unforgotten.append(job.id)
        if len(self._unforgotten) >= FORGET_BATCH:
            self.forget_results()
        return plan(job, JobState.SUCCEEDED, data, at=started)[0].id, started

    def forget_results(self) -> None:
        """Remove the jobs from the lane of Celery results, for which no producer waits."""
        if self._unforgotten:
            for job_id in self._unforgotten:
                self._store.jobs.mark_published(job_id)
            self._unforgotten.clear()


def measure(  # noqa: PLR0913 - one run, described
    name: str, load: Load, endpoints: Endpoints, *, rate: float, seconds: float, bad: bool, settle: float
) -> Measured:
    """Store events at a steady rate, wait until the good receivers have all, and return the times."""
    load_before, started = os.getloadavg()[0], time.monotonic()
    stored = store_events(load, endpoints, rate=rate, seconds=seconds, bad=bad)
    elapsed_s = time.monotonic() - started
    load.forget_results()
    with contextlib.suppress(TimeoutError):  # what is late is counted below
        wait(lambda: not stored.keys() - endpoints.arrived().keys(), settle, "every webhook has arrived")
    arrived, now = endpoints.arrived(), time.time()
    waits = [1000 * (arrived.get(webhook_id, now) - at) for webhook_id, at in stored.items()]
    return Measured(
        name=name,
        events=len(stored),
        target_per_s=rate,
        stored_per_s=round(len(stored) / elapsed_s, 1),
        late=len(stored.keys() - arrived.keys()),
        p50_ms=round(percentile(waits, 0.5), 1),
        p90_ms=round(percentile(waits, 0.9), 1),
        p99_ms=round(percentile(waits, 0.99), 1),
        max_ms=round(percentile(waits, 1.0), 1),
        load_before=round(load_before, 2),
    )


def store_events(load: Load, endpoints: Endpoints, *, rate: float, seconds: float, bad: bool) -> dict[str, float]:
    """Store events at a steady rate; return when each event of a good receiver was stored, by its webhook's id."""
    rng, started = random.Random(rate), time.monotonic()
    share = len(endpoints.bad) / len(endpoints.good) if bad else 0.0
    stored: dict[str, float] = {}
    due_bad = 0.0
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        webhook_id, at = load.end_job(endpoints.good[number % len(endpoints.good)])
        stored[webhook_id] = at
        due_bad += share
        if due_bad >= 1:
            due_bad -= 1
            load.end_job(rng.choice(endpoints.bad))
        if time.monotonic() - started > 2 * seconds:
            break  # this machine cannot store that many
    return stored


@contextlib.contextmanager
def receivers(good: int, log: Path) -> Iterator[Endpoints]:
    """Run the receivers in their own process."""
    argv = [sys.executable, "-m", "ops.bench.endpoints", "--good", str(good), "--log", str(log)]
    output = log.with_suffix(".out")
    child = Child("endpoints", argv, log=output)
    try:
        wait(lambda: output.read_text().endswith("\n"), READY_S, "the receivers have started")
        yield Endpoints(**json.loads(output.read_text()), log=log)
    finally:
        child.stop()


@contextlib.contextmanager
def workers(count: int, env: dict[str, str], folder: Path) -> Iterator[None]:
    """Run real worker processes."""
    argv = [sys.executable, "-m", "worker.cli.main", "worker"]
    logs = [folder / f"worker-{number}.log" for number in range(count)]
    children = [Child(log.stem, [*argv, "--name", log.stem], env=env, log=log) for log in logs]
    try:
        wait(lambda: all("worker.ready" in log.read_text() for log in logs), READY_S, "the workers have started")
        yield
    finally:
        for child in children:
            child.kill()  # their attempts at bad receivers do not matter


def run(arguments: argparse.Namespace, folder: Path, valkey: EmbeddedValkey) -> list[Measured]:
    """Run all, with new workers for each run so that no run sees the work of another."""
    env = {
        "PHOTOGPT_REDIS_URL": valkey.url,
        "PHOTOGPT_BASE_URL": "http://127.0.0.1:9/api",  # nothing listens there, and no request is made
        "PHOTOGPT_API_KEY": "bench",
        "PHOTOGPT_WEBHOOK_SECRETS": new_webhook_secret("hmac"),
        "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "PHOTOGPT_LOG_LEVEL": "INFO",
    }
    os.environ.update(env)
    settings = load_settings()
    app = producer(settings)
    publisher = CeleryPublisher(app)

    def publish_tick(tick: Tick) -> None:
        if tick.lane is not Lane.RESULTS:  # no producer waits
            publisher.publish_tick(tick)

    store, client = open_store(settings, publish_tick), redis.Redis.from_url(valkey.url)
    load = Load(store)
    runs = [("idle", IDLE_RATE, IDLE_S, False)] if arguments.idle else []
    runs += [
        ("good", arguments.rate, arguments.seconds, False),
        ("all", arguments.rate, arguments.seconds, True),
    ] * arguments.rounds
    measured = []
    try:
        for number, (name, rate, seconds, bad) in enumerate(runs):
            client.flushdb()
            run_folder = folder / str(number)
            run_folder.mkdir()
            log = run_folder / "arrivals"
            with receivers(arguments.good, log) as endpoints, workers(arguments.workers, env, run_folder):
                measure("warm", load, endpoints, rate=50, seconds=2, bad=False, settle=10)
                found = measure(name, load, endpoints, rate=rate, seconds=seconds, bad=bad, settle=arguments.settle)
            measured.append(found)
            print(row(found), flush=True)
    finally:
        app.close()
        store.close()
        client.close()
    return measured


HEAD = (
    "| run | events | target/s | stored/s | p50 ms | p90 ms | p99 ms | max ms | late | load before |\n"
    + "|---" * 10
    + "|"
)


def row(found: Measured) -> str:
    """Return a line of the table."""
    cells: list[Any] = [found.name, found.events, found.target_per_s, found.stored_per_s]
    cells += [found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.late, found.load_before]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    """Parse the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=100, help="good receivers")
    parser.add_argument("--rate", type=float, default=300.0, help="events per second for all good receivers together")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of the load in each run")
    parser.add_argument("--settle", type=float, default=60.0, help="maximum wait for late events")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--rounds", type=int, default=1, help="pairs of runs, alternating")
    parser.add_argument("--no-idle", dest="idle", action="store_false", help="skip the idle run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        valkey = EmbeddedValkey(Path(folder) / "valkey")
        try:
            print(HEAD)
            measured = run(arguments, Path(folder), valkey)
        finally:
            valkey.stop()
    ratios = [
        round(bad.p99_ms / good.p99_ms, 2)
        for good, bad in zip(
            [found for found in measured if found.name == "good"],
            [found for found in measured if found.name == "all"],
            strict=True,
        )
    ]
    runs = [asdict(found) for found in measured]
    print(json.dumps({"p99_all_to_good": ratios, "workers": arguments.workers, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
