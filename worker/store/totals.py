"""Totals: numbers of accepted and ended jobs and webhooks, counted by the scripts that write the change.

They are fields of one hash, named by metric and labels: `jobs_ended_total:image:failed:not_found`. A script counts in
the same step in which it changes the state, so a total is exact over restarts, kills and repeated messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worker.telemetry.metric import Metric, Source
from worker.telemetry.metrics import METRICS, PREFIX

Totals = dict[tuple[Metric, tuple[str, ...]], int]
"""A number for each metric and values of its labels."""


def total_name(metric: Metric, *labels: str) -> str:
    """Return the field of a total."""
    return ":".join((metric.name.removeprefix(PREFIX), *labels))


def read_totals(fields: Mapping[str, str]) -> Totals:
    """Return the totals of a hash, without fields that the table of metrics does not know."""
    metrics = {metric.name.removeprefix(PREFIX): metric for metric in METRICS if metric.source is Source.TOTALS}
    found: Totals = {}
    for field, number in fields.items():
        name, *labels = field.split(":")
        metric = metrics.get(name)
        if metric is not None and _known(metric, labels):
            found[metric, tuple(labels)] = int(number)
    return found


def _known(metric: Metric, labels: Iterable[str]) -> bool:
    given = list(labels)
    return len(given) == len(metric.labels) and all(
        value in known for value, known in zip(given, metric.labels.values(), strict=True)
    )
