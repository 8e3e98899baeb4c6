"""Where the files of monitoring are."""

from __future__ import annotations

from pathlib import Path

OPS = Path(__file__).parent.parent
DASHBOARD = OPS / "grafana" / "photogpt-worker.json"
ALERTS = OPS / "prometheus" / "alerts.yml"
OPERATOR_RULES = OPS / "kubernetes" / "components" / "prometheus-operator" / "rules.yaml"
