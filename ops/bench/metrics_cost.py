"""What metrics cost: CPU per finished job of a worker without and with them, in alternation.

    python -m ops.bench.metrics_cost --pairs 8

The worker with metrics is scraped every five seconds. CPU time: user and kernel seconds of the worker process from the
first enqueue to the last end, divided by the number of jobs. The order within a pair alternates. Runs of one worker
differ by a tenth, so the operations of the last run are counted, too, and one operation is timed alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from timeit import timeit
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from ops.bench.machine import load
from ops.bench.peers import Ours
from ops.bench.plan import Plan
from ops.bench.stage import Stage, wait
from worker.cli.local.processes import free_port
from worker.telemetry import recorder
from worker.telemetry.labels import ApiOutcome, Operation
from worker.telemetry.metrics import API_DURATION, API_REQUESTS, PREFIX

SCRAPE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost for each finished job."""

    cpu_ms: float
    #: Metric operations: counters raised, observations, gauges set; 0 without metrics.
    operations: float


def measure(plan: Plan, name: str, *, metrics: bool) -> Cost:
    """Return the cost of one run."""
    address = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {"PHOTOGPT_HTTP_ADDRESS": address} if metrics else {}
    with Stage(plan, name) as stage:
        ours = Ours(stage, **settings)
        try:
            ours.start()
            with scraped(address if metrics else None):
                cpu_ms = cost(ours, plan)
            return Cost(cpu_ms, operations(address) / plan.jobs if metrics else 0.0)
        finally:
            ours.stop()


def cost(ours: Ours, plan: Plan) -> float:
    """Run the jobs and return the CPU milliseconds for each."""
    before = ours.cpu_s()
    ours.enqueue(plan.jobs)
    wait(lambda: ours.finished() >= plan.jobs, plan.limit_s, f"{plan.jobs} jobs are finished")
    return 1000 * (ours.cpu_s() - before) / plan.jobs


def operations(address: str) -> float:
    """Return how many metric operations a worker has made, by what it serves."""
    with urlopen(f"http://{address}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples if sample.name.startswith(PREFIX)]
    made = sum(sample.value for sample in samples if sample.name.endswith(("_total", "_count")))
    return made + sum(sample.value for sample in samples if sample.name == API_REQUESTS.name)  # each sets a gauge


def operation_us() -> float:
    """Return the microseconds of one metric operation, half counters and half histograms."""
    recorder.start()
    count = 20_000
    spent = timeit(lambda: recorder.count(API_REQUESTS, Operation.TRIGGER, ApiOutcome.OK), number=count)
    spent += timeit(lambda: recorder.observe(API_DURATION, 0.3, Operation.TRIGGER), number=count)
    recorder.stop()
    return 1e6 * spent / (2 * count)


@contextmanager
def scraped(address: str | None) -> Iterator[None]:
    """Scrape an address in the background, as Prometheus does; None scrapes nothing."""
    done = threading.Event()

    def scrape() -> None:
        while address and not done.wait(SCRAPE_EVERY_S):
            with suppress(OSError), urlopen(f"http://{address}/metrics", timeout=5) as answer:
                answer.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    yield
    done.set()
    thread.join()


def main() -> None:
    """Measure in alternation and print each pair, the medians and the median ratio."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.metrics_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--duration", default="lognormal:6:0.4", help="of a generation, seconds")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two polls")
    arguments = parser.parse_args()
    pairs: list[dict[bool, Cost]] = []
    with tempfile.TemporaryDirectory(prefix="photogpt-bench-") as folder:
        plan = Plan(folder=Path(folder), jobs=arguments.jobs, duration=arguments.duration, interval=arguments.interval)
        for number in range(arguments.pairs):
            order = (False, True) if number % 2 else (True, False)
            busy, began = load()[0], time.monotonic()
            pairs.append({on: measure(plan, f"{number}-{on}", metrics=on) for on in order})
            off, on = pairs[-1][False].cpu_ms, pairs[-1][True].cpu_ms
            spent = time.monotonic() - began
            print(f"off {off:.3f} ms, on {on:.3f} ms, ratio {on / off:.3f}  ({spent:.0f} s, load {busy:g})", flush=True)
    medians = {on: statistics.median(pair[on].cpu_ms for pair in pairs) for on in (False, True)}
    ratio = statistics.median(pair[True].cpu_ms / pair[False].cpu_ms for pair in pairs)
    print(f"medians: off {medians[False]:.3f} ms, on {medians[True]:.3f} ms; median of the ratios {ratio:.3f}")
    count, each = pairs[-1][True].operations, operation_us()
    share = count * each / 10 / medians[False]
    print(f"{count:.1f} operations a job of {each:.2f} µs: {count * each:.1f} µs, {share:.2f} % of the CPU of a job")


if __name__ == "__main__":
    main()
