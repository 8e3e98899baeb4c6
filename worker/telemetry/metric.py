"""The definition of a metric: its name, type, source and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod


class Source(StrEnum):
    """Where the values of a metric come from, and which process serves it."""

    TOTALS = "totals"  # counted by the scripts in Redis; the exporter
    FLEET = "fleet"  # read from Redis and the broker at each scrape; the exporter
    WORKER = "worker"  # each worker process


class MetricType(StrEnum):
    """The type of a metric, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Metric:
    """One metric. It is its own key: two metrics are never equal."""

    name: str
    type: MetricType
    source: Source
    #: One sentence for people.
    help: str
    #: Every value of each label.
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Upper bounds of a histogram, in its unit.
    buckets: tuple[float, ...] = ()

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(self.name + suffix for suffix in ("_bucket", "_count", "_sum"))
        return (self.name,)

    @property
    def max_series(self) -> int:
        """The maximum number of time series that one process serves."""
        per_combination = len(self.buckets) + 3 if self.type is MetricType.HISTOGRAM else 1
        return per_combination * prod(len(values) for values in self.labels.values())
