"""Metrics as Prometheus reads them. Imported only where metrics are on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from worker.telemetry.listener import Answer, Route
from worker.telemetry.metric import Metric, MetricType

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Samples = dict[tuple[Metric, tuple[str, ...]], float]
"""A value for each metric and values of its labels."""


def metrics_route(registry: CollectorRegistry) -> Route:
    """Return the route of /metrics, in the format that the client asks for."""

    def answer(accept: str) -> Answer:
        encode, content_type = exposition.choose_encoder(accept)
        return Answer(encode(registry), content_type=content_type)

    return answer


def families(samples: Samples) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    """Yield what a collector returns: the samples of each metric together."""
    made: dict[Metric, CounterMetricFamily | GaugeMetricFamily] = {}
    for (metric, labels), value in samples.items():
        if metric not in made:
            family = CounterMetricFamily if metric.type is MetricType.COUNTER else GaugeMetricFamily
            made[metric] = family(metric.name, metric.help, labels=list(metric.labels))
        made[metric].add_metric(list(labels), value)
    yield from made.values()
