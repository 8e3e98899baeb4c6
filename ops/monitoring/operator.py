"""Copies the alerts into the object that Prometheus Operator reads."""

from __future__ import annotations

import yaml

from ops.monitoring.files import ALERTS

HEAD = "# Generated from ops/prometheus/alerts.yml by `python -m ops.monitoring`.\n"


def operator_rules() -> str:
    """Return the alerts as a PrometheusRule. kube-prometheus-stack selects it by its label `release`."""
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "photogpt-worker", "labels": {"release": "kube-prometheus-stack"}},
        "spec": rules,
    }
    text: str = yaml.safe_dump(made, sort_keys=False, width=120, allow_unicode=True)
    return HEAD + text
