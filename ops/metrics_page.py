"""Write `ops/docs/metrics.md` from the table of metrics: `python -m ops.metrics_page`."""

from __future__ import annotations

from pathlib import Path

from worker.telemetry.metric import Metric, MetricType, Source
from worker.telemetry.metrics import METRICS

PAGE = Path(__file__).parent / "docs" / "metrics.md"
MAX_SHOWN = 14

HEAD = """# Metrics

Generated from `worker/telemetry/metrics.py` by `python -m ops.metrics_page`. A test fails if page and table differ.

`PHOTOGPT_HTTP_ADDRESS=0.0.0.0:9464` turns them on: each worker then serves its own at `/metrics`, and the exporter,
`photogpt-worker metrics`, serves what concerns all workers ([operations](operations.md#what-each-process-serves)). One
exporter is enough; two give the same numbers twice. Label values come from enumerations of the service, so the number
of series does not grow with jobs, tenants, models or URLs. Prometheus adds `instance`.
"""

HEADINGS = {
    Source.TOTALS: (
        "Totals",
        "Counted in Redis by the script that writes the change: exact over restarts, kills and duplicate messages.",
    ),
    Source.FLEET: (
        "Fleet",
        "State in Redis and in the broker, read in one round trip to each at every scrape.",
    ),
    Source.WORKER: (
        "Worker",
        "What one process did and measured since its start. The client library adds `process_…` and `python_…`.",
    ),
}


def page() -> str:
    """Return the page as Markdown: a table per source."""
    lines = [HEAD.rstrip()]
    for source, (heading, text) in HEADINGS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            text,
            "",
            "| metric | type | labels | meaning |",
            "| --- | --- | --- | --- |",
        ]
        lines += [row(metric) for metric in METRICS if metric.source is source]
    return "\n".join(lines) + "\n"


def row(metric: Metric) -> str:
    """Return the row of one metric."""
    bounds = f" Buckets up to {metric.buckets[-1]:g} s." if metric.type is MetricType.HISTOGRAM else ""
    return f"| `{metric.name}` | {metric.type} | {labels(metric)} | {metric.help}{bounds} |"


def labels(metric: Metric) -> str:
    """Return the labels of a metric with their values; a long list is cut."""
    return "; ".join(f"`{name}`: {values(given)}" for name, given in metric.labels.items())


def values(given: tuple[str, ...]) -> str:
    """Return the values of a label."""
    if given == ("",):
        return "…"
    shown = ", ".join(given[:MAX_SHOWN])
    return f"{shown}, … ({len(given)} values)" if len(given) > MAX_SHOWN else shown


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
