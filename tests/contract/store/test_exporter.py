"""What the exporter's collector makes of a real Redis: a fixed number of series, and an answer during an outage."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from config.settings import Settings
from tests.contract.store.conftest import Hooks
from worker.cli.context import producer
from worker.cli.local import exporter
from worker.cli.local.exporter import ENDPOINTS_EVERY_S, ENDS, FleetCollector
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import Store, open_store
from worker.telemetry.metrics import NO_REASON

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def collect(collector: FleetCollector) -> Series:
    """Return the values that a scrape gets."""
    registry = CollectorRegistry()
    registry.register(collector)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float | None:
    """Return the value of one series."""
    return series.get((f"photogpt_{name}", frozenset(labels.items())))


@pytest.fixture
def collector(store: Store, store_settings: Settings) -> FleetCollector:
    """The collector of an exporter."""
    return FleetCollector(store_settings, store, producer(store_settings))


def end_jobs(hooks: Hooks, count: int) -> None:
    """End jobs, each with a tenant, a model, a prompt and a receiver of its own; deliver every tenth webhook."""
    line = hooks.line
    for number in range(count):
        url = f"https://shop-{line.made}.example/hooks"
        request = {"modelID": f"m-{line.made}", "prompt": f"prompt {line.made}"}
        job = line.accepted(tenant=f"tenant-{line.made}", webhook_url=url, request=request)
        state, reason = ENDS[number % len(ENDS)]
        result = JobResult(state=state, reason=Reason(reason) if reason != NO_REASON else None, error=f"error {number}")
        assert line.finish(job, result) is not None
        if number % 10 == 0:
            (shown,) = line.store.delivery_history.of_job(job.id)
            hooks.acquire_slot(hooks.read(shown["id"]))
            hooks.record_attempt(hooks.read(shown["id"]))


def test_a_thousand_tenants_add_no_series(hooks: Hooks, collector: FleetCollector) -> None:
    """After 1,000 jobs of as many tenants and receivers the exporter serves the same series as after ten."""
    end_jobs(hooks, 10)
    before = collect(collector)
    end_jobs(hooks, 990)
    after = collect(collector)
    assert set(after) == set(before)
    assert value(after, "jobs_accepted_total", kind="image") == 1000
    assert value(after, "webhooks_ended_total", state="delivered") == 100
    assert sum(count for (name, _), count in after.items() if name == "photogpt_jobs_ended_total") == 1000


def test_endpoints_are_counted_by_health(
    hooks: Hooks, collector: FleetCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoints are counted by their health, and read again only after a minute."""
    hooks.fail(1, url="https://failing.example/")
    hooks.record_attempt(hooks.made())
    hooks.fail(1)
    hooks.open_circuit()
    now = time.monotonic()
    assert value(collect(collector), "endpoints", state="failing") == 1
    assert value(collect(collector), "endpoints", state="circuit_open") == 1
    hooks.fail(1, url="https://failing-too.example/")
    assert value(collect(collector), "endpoints", state="failing") == 1
    monkeypatch.setattr(time, "monotonic", lambda: now + ENDPOINTS_EVERY_S + 1)
    assert value(collect(collector), "endpoints", state="failing") == 2


def test_messages_in_the_broker_are_counted(client: redis.Redis, collector: FleetCollector) -> None:
    """Messages that no worker takes count under the short name of their queue, whatever their priority."""
    for name, count in {"celery": 2, "photogpt.webhooks": 1, "photogpt.webhooks\x06\x163": 3}.items():
        client.lpush(name, *["{}"] * count)
    client.zadd("photogpt.unacked_index", {"a tag": 1})
    series = collect(collector)
    counts = {name: value(series, "broker_messages", queue=name) for name in ("enqueued", "webhooks", "polls")}
    assert counts == {"enqueued": 2, "webhooks": 4, "polls": 0}
    assert value(series, "broker_unacked") == 1


def test_a_scrape_answers_while_no_server_does(store_settings: Settings) -> None:
    """Without Redis and broker a scrape says so and has no other fleet metric."""
    gone = store_settings.model_copy(update={"redis_url": type(store_settings.redis_url)("redis://127.0.0.1:1/0")})  # type: ignore[misc]
    store = open_store(gone, leave_to_lane_monitor)
    series = collect(FleetCollector(gone, store, producer(gone)))
    store.close()
    assert (value(series, "redis_up"), value(series, "broker_up")) == (0, 0)
    assert len(series) == 2


def test_a_broker_that_is_down_is_apart(store: Store, store_settings: Settings) -> None:
    """With Redis up and another broker down, only the broker's metrics are absent."""
    settings = store_settings.model_copy(update={"broker_url": type(store_settings.redis_url)("amqp://127.0.0.1:1//")})  # type: ignore[misc]
    series = collect(FleetCollector(settings, store, producer(settings)))
    assert (value(series, "redis_up"), value(series, "broker_up")) == (1, 0)
    assert value(series, "lane_members", lane="jobs") == 0
    assert not any(name.startswith("photogpt_broker_messages") for name, _ in series)


def test_a_slow_server_does_not_delay_the_scrape(collector: FleetCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes too long goes on, and the scrape answers without it; a later scrape has fresh values."""
    monkeypatch.setattr(exporter, "ANSWER_S", 0.05)
    real: Any = collector._fleet._read

    def slow() -> Any:
        time.sleep(0.3)
        return real()

    collector._fleet._read = slow
    assert value(collect(collector), "redis_up") == 0
    collector._fleet._read = real
    monkeypatch.setattr(exporter, "ANSWER_S", 4.0)
    assert value(collect(collector), "redis_up") == 1
