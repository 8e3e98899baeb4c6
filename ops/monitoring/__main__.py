"""Write the files that are generated: `python -m ops.monitoring`.

- `ops/grafana/photogpt-worker.json`: the dashboard.
- `ops/kubernetes/components/prometheus-operator/rules.yaml`: the alerts of `ops/prometheus/alerts.yml`, for Prometheus
  Operator.
"""

from __future__ import annotations

from ops.monitoring.dashboard import dashboard_json
from ops.monitoring.files import DASHBOARD, OPERATOR_RULES
from ops.monitoring.operator import operator_rules


def main() -> None:
    """Write both files."""
    DASHBOARD.write_text(dashboard_json(), encoding="utf-8")
    OPERATOR_RULES.write_text(operator_rules(), encoding="utf-8")


if __name__ == "__main__":
    main()
