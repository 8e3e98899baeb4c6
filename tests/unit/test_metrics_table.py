"""The table of metrics: its names follow Prometheus' rules, and its page agrees with it."""

from __future__ import annotations

import re

import pytest

from config.celery import QUEUES
from ops import metrics_page
from worker.telemetry.labels import QueueName
from worker.telemetry.metric import Metric, MetricType
from worker.telemetry.metrics import METRICS

MAX_SERIES = 1000


def test_the_page_is_generated_from_the_table() -> None:
    """`ops/docs/metrics.md` is what `python -m ops.metrics_page` writes today."""
    assert metrics_page.PAGE.read_text() == metrics_page.page()


def test_names_are_unique() -> None:
    """No two metrics of the table share a sample name."""
    names = [name for metric in METRICS for name in metric.sample_names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_follows_the_rules_of_prometheus(metric: Metric) -> None:
    """Names have our prefix, counters alone end in _total, histograms in their unit, and the help is a sentence."""
    assert re.fullmatch(r"photogpt_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.type is MetricType.COUNTER)
    assert bool(metric.buckets) == (metric.type is MetricType.HISTOGRAM)
    assert metric.type is not MetricType.HISTOGRAM or metric.name.endswith("_seconds")
    assert list(metric.buckets) == sorted(metric.buckets)
    assert metric.help.endswith(".")
    assert not {"instance", "job", "le"} & set(metric.labels)


def test_the_number_of_series_is_bounded() -> None:
    """All metrics together have fewer than 1,000 series for a process, whatever happens."""
    assert sum(metric.max_series for metric in METRICS) < MAX_SERIES


def test_queues_are_those_of_the_broker() -> None:
    """The label `queue` has the short name of each queue that the service declares."""
    assert tuple(QueueName) == QUEUES
