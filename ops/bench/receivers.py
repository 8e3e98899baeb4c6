"""Do a dead and a dripping receiver delay the good ones? Webhooks under load, without and with them, in one go.

    .venv/bin/python ops/bench/receivers.py --rate 300 --seconds 20

Starts a Valkey, a hundred good receivers, a dead one (takes connections, reads nothing), a dripping one (a header's
byte a second) and real worker processes, all on loopback. Jobs are ended through the ledger's own verb, so many a
second, spread evenly over the receivers; what is measured is the time from that call to the first byte at the receiver.

    idle      four events a second: the time from noticed to the webhook's first byte
    good      the load, good receivers only
    all       the same load for the good ones, and as much each for the dead and the dripping one as for any good one

`late` counts events of good receivers that had not come --settle seconds after the last was stored; in the percentiles
they count as having come then, so with late events these are lower bounds. Prints a table and one JSON object. Every
run ends by itself.
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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from config.secrets import new_webhook_secret
from config.settings import load_settings
from worker.cli.context import producer
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child
from worker.domain.delivery import plan
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult, outcome
from worker.queue.publisher import CeleryPublisher
from worker.store.connection import Store, open_store
from worker.store.keys import Lane
from worker.store.lanes import Tick

IDLE_RATE = 4.0
IDLE_S = 25.0
READY_S = 60.0
LOOK_S = 0.1
FORGET_EVERY = 100
ENDING = JobResult(state=JobState.SUCCEEDED, images=({"id": "image-1", "url": "https://example.com/1.png"},))


@dataclass(frozen=True)
class Measured:
    """One run. Times are milliseconds from stored to the first byte at a good receiver."""

    name: str
    events: int
    wanted_per_s: float
    stored_per_s: float
    late: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    most_ms: float
    load_before: float


@dataclass(frozen=True)
class Endpoints:
    """The receivers, and the book in which the good ones write."""

    good: list[str]
    bad: list[str]
    book: Path

    def arrived(self) -> dict[str, float]:
        """Return when each webhook came first, in epoch seconds."""
        found: dict[str, float] = {}
        for line in self.book.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                at, webhook_id = line.split()
                found.setdefault(webhook_id, float(at))
        return found


class Load:
    """Ends jobs, as a worker does that has noticed their end."""

    def __init__(self, store: Store) -> None:
        """Use one store."""
        self._store = store
        self._made = 0
        self._unforgotten: list[str] = []

    def end_job(self, url: str) -> tuple[str, float]:
        """End one job with a webhook; return its webhook's id, and when that was."""
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
        ended = outcome(job, ENDING, at=started)
        if self._store.jobs.finish(job, ended, None, create="", digest="bench") is None:
            raise SystemExit(f"the store refuses to end {job.id}")
        self._unforgotten.append(job.id)
        if len(self._unforgotten) >= FORGET_EVERY:
            self.forget_results()
        return plan(job, JobState.SUCCEEDED, outcome(job, ENDING), at=started)[0].id, started

    def forget_results(self) -> None:
        """Take the jobs out of the lane that would look for their Celery results."""
        if self._unforgotten:
            for job_id in self._unforgotten:
                self._store.jobs.mark_published(job_id)
            self._unforgotten.clear()


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of them lie."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else float("nan")


def measure(  # noqa: PLR0913 - one run, described
    name: str, load: Load, endpoints: Endpoints, *, rate: float, seconds: float, bad: bool, settle: float
) -> Measured:
    """Store events at a steady pace, wait until the good ones have theirs, and tell."""
    random_fraction, load_before = random.Random(name), os.getloadavg()[0]
    share = len(endpoints.bad) / len(endpoints.good) if bad else 0.0
    stored: dict[str, float] = {}
    begun = time.monotonic()
    due_bad = 0.0
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        webhook_id, at = load.end_job(endpoints.good[number % len(endpoints.good)])
        stored[webhook_id] = at
        due_bad += share
        if due_bad >= 1:
            due_bad -= 1
            load.end_job(random_fraction.choice(endpoints.bad))
        if time.monotonic() - begun > 2 * seconds:
            break  # this machine cannot store so many
    took = time.monotonic() - begun
    load.forget_results()
    ends = time.monotonic() + settle
    while (arrived := endpoints.arrived()) and stored.keys() - arrived.keys() and time.monotonic() < ends:
        time.sleep(LOOK_S)
    now = time.time()
    waits = [1000 * (arrived.get(webhook_id, now) - at) for webhook_id, at in stored.items()]
    return Measured(
        name=name,
        events=len(stored),
        wanted_per_s=rate,
        stored_per_s=round(len(stored) / took, 1),
        late=len(stored.keys() - arrived.keys()),
        p50_ms=percentile(waits, 0.5),
        p90_ms=percentile(waits, 0.9),
        p99_ms=percentile(waits, 0.99),
        most_ms=percentile(waits, 1.0),
        load_before=round(load_before, 2),
    )


@contextlib.contextmanager
def serving(good: int, book: Path) -> Iterator[Endpoints]:
    """Keep the receivers running in a process of their own."""
    argv = [sys.executable, str(Path(__file__).with_name("endpoints.py")), "--good", str(good), "--book", str(book)]
    log = book.with_suffix(".log")
    child = Child("endpoints", argv, log=log)
    try:
        wait_for(lambda: log.read_text().endswith("\n"), "the receivers")
        yield Endpoints(**json.loads(log.read_text()), book=book)
    finally:
        child.stop()


def wait_for(ready: Callable[[], bool], who: str) -> None:
    """Wait until something has started."""
    ends = time.monotonic() + READY_S
    while not ready():
        if time.monotonic() > ends:
            raise SystemExit(f"{who} did not start within {READY_S:g} s")
        time.sleep(LOOK_S)


@contextlib.contextmanager
def working(count: int, env: dict[str, str], folder: Path) -> Iterator[None]:
    """Keep real worker processes running."""
    argv = [sys.executable, "-m", "worker.cli.main", "worker"]
    logs = [folder / f"worker-{number}.log" for number in range(count)]
    children = [Child(log.stem, [*argv, "--name", log.stem], env=env, log=log) for log in logs]
    try:
        wait_for(lambda: all("worker.ready" in log.read_text() for log in logs), "the workers")
        yield
    finally:
        for child in children:
            child.kill()  # what they hold for bad receivers is of no interest any more


def run(asked: argparse.Namespace, folder: Path, valkey: EmbeddedValkey) -> list[Measured]:
    """Run all three; the workers are new for each, so that none carries what another left behind."""
    env = {
        "PHOTOGPT_REDIS_URL": valkey.url,
        "PHOTOGPT_BASE_URL": "http://127.0.0.1:9/api",  # nobody is there, and nobody is asked
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

    store = open_store(settings, publish_tick)
    load = Load(store)
    runs = [("idle", IDLE_RATE, IDLE_S, False)] if asked.idle else []
    runs += [("good", asked.rate, asked.seconds, False), ("all", asked.rate, asked.seconds, True)] * asked.rounds
    measured = []
    try:
        for number, (name, rate, seconds, bad) in enumerate(runs):
            redis.Redis.from_url(valkey.url).flushdb()
            book = folder / f"book-{number}"
            place = folder / str(number)
            place.mkdir()
            with serving(asked.good, book) as endpoints, working(asked.workers, env, place):
                measure("warm", load, endpoints, rate=50, seconds=2, bad=False, settle=10)
                found = measure(name, load, endpoints, rate=rate, seconds=seconds, bad=bad, settle=asked.settle)
            measured.append(found)
            print(row(found), flush=True)
    finally:
        app.close()
        store.close()
    return measured


HEAD = (
    "| run | events | wanted/s | stored/s | p50 ms | p90 ms | p99 ms | most ms | late | load before |\n"
    + "|---" * 10
    + "|"
)


def row(found: Measured) -> str:
    """Return a line of the table."""
    cells: list[Any] = [found.name, found.events, found.wanted_per_s, found.stored_per_s]
    cells += [found.p50_ms, found.p90_ms, found.p99_ms, found.most_ms, found.late, found.load_before]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=100, help="good receivers")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second for the good ones together")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load in each run")
    parser.add_argument("--settle", type=float, default=60.0, help="wait at most so long for what is under way")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--rounds", type=int, default=1, help="pairs of runs, alternating")
    parser.add_argument("--no-idle", dest="idle", action="store_false", help="leave the idle run out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        valkey = EmbeddedValkey(Path(folder) / "valkey")
        try:
            print(HEAD)
            measured = run(asked, Path(folder), valkey)
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
    print(json.dumps({"p99_all_to_good": ratios, "workers": asked.workers, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
