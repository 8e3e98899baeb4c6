"""Records the metrics of this process. Until `start`, every call does nothing and no client library is imported."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

from worker import __version__
from worker.telemetry import logs
from worker.telemetry.metric import Metric, MetricType, Source
from worker.telemetry.metrics import BUILD_INFO, LOG_EVENTS, METRICS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_children: dict[tuple[Metric, tuple[str, ...]], Any] = {}  # of each metric, for all values of its labels


def count(metric: Metric, *labels: str, by: float = 1) -> None:
    """Raise a counter, by one if nothing else is given."""
    child = _children.get((metric, labels))
    if child is not None:
        child.inc(by)


def observe(metric: Metric, value: float, *labels: str) -> None:
    """Add an observation to a histogram; a negative one, from two clocks, counts as 0."""
    child = _children.get((metric, labels))
    if child is not None:
        child.observe(max(0.0, value))


def set_gauge(metric: Metric, value: float, *labels: str) -> None:
    """Set a gauge."""
    child = _children.get((metric, labels))
    if child is not None:
        child.set(value)


def read_gauge(metric: Metric, read: Callable[[], float], *labels: str) -> None:
    """Let a gauge call `read` at each scrape."""
    child = _children.get((metric, labels))
    if child is not None:
        child.set_function(read)


def start() -> CollectorRegistry:
    """Start to record, and return the registry with every worker metric at 0."""
    registry = new_registry()
    for metric in METRICS:
        if metric.source is Source.WORKER and metric is not BUILD_INFO:
            _register(metric, registry)
    logs.on_event = lambda name: count(LOG_EVENTS, name)
    return registry


def stop() -> None:
    """Record nothing any more."""
    logs.on_event = None
    _children.clear()


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics that each process has: build, process, garbage collector."""
    import prometheus_client as prometheus  # noqa: PLC0415 - only where metrics are on

    prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter and histogram
    registry = prometheus.CollectorRegistry()
    prometheus.ProcessCollector(registry=registry)
    prometheus.PlatformCollector(registry=registry)
    prometheus.GCCollector(registry=registry)
    build = prometheus.Gauge(BUILD_INFO.name, BUILD_INFO.help, list(BUILD_INFO.labels), registry=registry)
    build.labels(__version__).set(1)
    return registry


def _register(metric: Metric, registry: CollectorRegistry) -> None:
    """Make a metric of the client library, and its child for all values of its labels."""
    import prometheus_client as prometheus  # noqa: PLC0415 - only where metrics are on

    classes: dict[MetricType, Any] = {
        MetricType.COUNTER: prometheus.Counter,
        MetricType.GAUGE: prometheus.Gauge,
        MetricType.HISTOGRAM: prometheus.Histogram,
    }
    buckets = {"buckets": metric.buckets} if metric.buckets else {}
    made = classes[metric.type](metric.name, metric.help, list(metric.labels), registry=registry, **buckets)
    for values in product(*metric.labels.values()):
        _children[metric, values] = made.labels(*values) if values else made
