"""What a worker and the exporter serve after real jobs, and what a real Prometheus makes of it."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections import Counter
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from tests.conftest import image_request
from tests.integration.metrics.conftest import Samples, Served, grown
from tests.parts import need_program
from tests.running import Receiver, WorkerProcess, keys
from tests.waiting import wait_until
from worker.domain.lane import Lane
from worker.telemetry.metric import Source
from worker.telemetry.metrics import METRICS

Worker = tuple[WorkerProcess, Served]


def send(app: Celery, request: dict[str, Any], **kwargs: Any) -> AsyncResult[Any]:
    """Send one job."""
    return app.send_task("photogpt.generate_image", kwargs={"request": request} | kwargs)


def end(tasks: list[AsyncResult[Any]]) -> None:
    """Wait until jobs have ended, whatever their end is."""
    for task in tasks:
        task.get(timeout=30, propagate=False)


def totals_of_records(client: Any) -> Counter[tuple[str, ...]]:
    """Return kind, state and reason of every job's record."""
    found: Counter[tuple[str, ...]] = Counter()
    for key in client.scan_iter(match=keys.job("*")):
        kind, state, reason = client.hmget(key, "kind", "state", "reason")
        found[kind, state, reason or "none"] += 1
    return found


def totals(exporter: Served) -> Counter[tuple[str, ...]]:
    """Return kind, state and reason of every ended job, as the exporter counts them."""
    return Counter(
        {
            tuple(dict(labels)[name] for name in ("kind", "state", "reason")): int(value)
            for (name, labels), value in exporter.samples().items()
            if name == "photogpt_jobs_ended_total" and value
        }
    )


def test_a_job_is_seen_from_both_sides(served: Worker, exporter: Served, app: Celery, store_client: Any) -> None:
    """After jobs that succeed, fail and are refused, worker and exporter show what happened to each of them."""
    worker, receiver = served[1], Receiver()
    before, fleet_before = worker.samples(), exporter.samples()

    def delivered() -> bool:
        return grown(fleet_before, exporter.samples(), "webhooks_ended_total", state="delivered") == 4

    try:
        tasks = [send(app, image_request(), webhook_url=receiver.url) for _ in range(4)]
        end([*tasks, send(app, image_request(end="failed")), send(app, {"modelID": "nanobanana"})])
        wait_until(delivered, "four webhooks are delivered")
    finally:
        receiver.close()
    assert totals(exporter) == totals_of_records(store_client)
    fleet = exporter.samples()
    assert grown(fleet_before, fleet, "jobs_accepted_total", kind="image") == 6
    for reason, count in {"none": 4, "generation_failed": 1, "invalid_request": 1}.items():
        state = "succeeded" if reason == "none" else "failed"
        assert grown(fleet_before, fleet, "jobs_ended_total", kind="image", state=state, reason=reason) == count
    # the worker counts an end right after the script that lets the producer see it
    wait_until(lambda: missing(before, worker.samples()) == [], "the worker has counted everything")
    after = worker.samples()
    assert grown(before, after, "webhook_attempt_duration_seconds_count") >= 4  # other tests' webhooks are retried
    assert 1 <= grown(before, after, "notice_delay_seconds_count", kind="image") <= 5
    for lane in (Lane.TRIGGERS, Lane.JOBS, Lane.DELIVERIES):
        assert grown(before, after, "lane_lateness_seconds_count", lane=lane) >= 1
    assert after["photogpt_worker_ready", frozenset()] == 1
    assert after["photogpt_api_key_rejected", frozenset()] == 0
    assert after["process_cpu_seconds_total", frozenset()] > 0


pytestmark = pytest.mark.usefixtures("prometheus")

EXPECTED: list[tuple[str, dict[str, str], int]] = [
    ("api_requests_total", {"operation": "trigger", "outcome": "ok"}, 5),
    ("api_request_duration_seconds_count", {"operation": "trigger"}, 5),
    ("job_wait_seconds_count", {"kind": "image"}, 5),
    ("job_duration_seconds_count", {"kind": "image"}, 5),
    ("polls_total", {"kind": "image", "ended": "yes"}, 5),
    ("webhook_attempts_total", {"outcome": "delivered"}, 4),
    ("log_events_total", {"event": "job.ended"}, 5),
    ("log_events_total", {"event": "job.refused"}, 1),
]
"""By how much six jobs of which one is refused and one fails raise the metrics of a worker."""


def missing(before: Samples, after: Samples) -> list[str]:
    """Return the metrics that have not grown as expected, with their growth."""
    growth = [(name, grown(before, after, name, **labels), count) for name, labels, count in EXPECTED]
    return [f"{name}: {found:g} instead of {count}" for name, found, count in growth if found != count]


def test_the_fleet_is_served(served: Worker, exporter: Served) -> None:
    """The exporter serves every metric of totals and fleet, with one worker running and nothing left to do."""
    del served
    found = {name for name, _ in exporter.samples()}
    assert found >= {
        name for metric in METRICS if metric.source in {Source.TOTALS, Source.FLEET} for name in metric.sample_names
    }
    wait_until(lambda: exporter.value("photogpt_workers") == 1, "the worker is seen")
    assert exporter.value("photogpt_redis_up") == exporter.value("photogpt_broker_up") == 1
    wait_until(lambda: exporter.value("photogpt_jobs_in_flight") == 0, "nothing is in flight")


def test_series_do_not_grow(served: Worker, exporter: Served, app: Celery) -> None:
    """Jobs of many tenants, models and URLs, ended in several ways, add no series to worker or exporter."""
    before = set(served[1].samples()), set(exporter.samples())
    tasks = []
    for number in range(20):
        own = {"tenant": f"tenant-{number}", "webhook_url": f"http://127.0.0.1:9/hook/{number}"}
        tasks += [send(app, image_request(), **own), send(app, image_request() | {"modelID": f"m-{number}"}, **own)]
    end(tasks)
    assert (set(served[1].samples()), set(exporter.samples())) == before


def test_a_real_prometheus_reads_both(served: Worker, exporter: Served, prometheus: int, app: Celery) -> None:
    """Prometheus scrapes worker and exporter without an error, and a query sums over what they serve."""
    del served, exporter
    need_program("prometheus")
    wait_until(lambda: query(prometheus, "sum(up)") == [2.0], "both are up")
    end([send(app, image_request())])
    ended = 'photogpt_jobs_ended_total{state="succeeded",kind="image"} >= 1'
    wait_until(lambda: query(prometheus, ended) != [], "the job is in Prometheus")
    assert query(prometheus, "photogpt_redis_up") == [1.0]
    assert query(prometheus, "count(count by (lane) (photogpt_lane_lateness_seconds_bucket))") == [len(Lane)]


def test_promtool_finds_no_fault(served: Worker, exporter: Served) -> None:
    """Prometheus' own check of names and help texts has nothing to say about our metrics."""
    promtool = need_program("promtool")
    for serving in (served[1], exporter):
        text = serving.get("/metrics")[1]
        assert "photogpt_" in text
        done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        assert "photogpt_" not in done.stdout + done.stderr


def query(port: int, expression: str) -> list[float]:
    """Return the values that Prometheus gives for an expression; none while it starts."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return [float(each["value"][1]) for each in json.load(answer)["data"]["result"]]
    except OSError:
        return []
