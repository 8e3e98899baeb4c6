"""Alerts, dashboard and scrape configuration agree with the table of metrics, with each other and with the runbooks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.monitoring.dashboard import dashboard_json
from ops.monitoring.files import ALERTS, DASHBOARD, OPERATOR_RULES
from ops.monitoring.operator import operator_rules
from ops.monitoring.panels import ROWS
from tests.architecture.test_documents import anchors
from tests.deployment.conftest import ROOT
from tests.parts import need_program
from worker.telemetry.metrics import METRICS, SAMPLE_NAMES

TESTS = ALERTS.with_name("alerts.test.yml")
CONFIG = ALERTS.with_name("prometheus.yml")
OTHERS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
"""Series that the client library and Prometheus themselves add."""

JOBS = {"photogpt-worker", "photogpt-exporter"}
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
METRIC = re.compile(r"\b(?:photogpt_\w+|process_\w+|up(?=\{))")


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> list[str]:
    """Return every query of the dashboard and of the alerts."""
    panels = [query.expr for row in ROWS for panel in row.panels for query in panel.queries]
    return panels + [rule["expr"] for rule in rules()]


def promtool(*arguments: str | Path) -> None:
    """Run promtool, and fail with what it prints."""
    done = subprocess.run([need_program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_and_stay_silent() -> None:
    """The unit tests of the alerts pass in promtool."""
    promtool("test", "rules", TESTS)


def test_every_alert_has_a_test() -> None:
    """For every alert there is a test in which it fires, alone."""
    fired = set()
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for check in test.get("promql_expr_test", []):
            assert len(check["exp_samples"]) <= 1, test["name"]
            fired |= {sample["labels"] for sample in check["exp_samples"]}
    assert fired == {f'{{alertname="{rule["alert"]}"}}' for rule in rules()}


def test_prometheus_accepts_the_configuration() -> None:
    """Prometheus accepts the scrape configuration of the compose file, with its rules."""
    promtool("check", "config", CONFIG)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_runbook(rule: dict[str, Any]) -> None:
    """An alert names its severity, what it means, and a section of a runbook that exists."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (ROOT / path).is_file()
    if anchor:
        assert anchor == rule["alert"].lower()
        assert anchor in anchors(ROOT / path)


def test_every_section_has_an_alert() -> None:
    """The page of alerts has no section of an alert that does not exist."""
    sections = re.findall(r"^## (\w+)", (ROOT / "ops/runbooks/alerts.md").read_text(), re.MULTILINE)
    assert set(sections) <= {rule["alert"] for rule in rules()}


def test_the_generated_files_agree() -> None:
    """`python -m ops.monitoring` would write the dashboard and the rules that are committed."""
    assert DASHBOARD.read_text() == dashboard_json()
    assert OPERATOR_RULES.read_text() == operator_rules()
    assert yaml.safe_load(operator_rules())["spec"]["groups"][0]["rules"] == rules()


def test_every_metric_exists() -> None:
    """Every metric in an alert, a panel, a test of an alert and an autoscaler is in the table of metrics."""
    others = [TESTS, *(ROOT / "ops/kubernetes/components").glob("*/*.yaml")]
    texts = queries() + [path.read_text().replace("photogpt_workable", "") for path in others]
    used = {name for text in texts for name in METRIC.findall(text)}
    assert used <= SAMPLE_NAMES | OTHERS


def test_every_label_exists() -> None:
    """Every selector in an alert and a panel has labels of the metric, and values that the label can have."""
    by_name = {name: metric for metric in METRICS for name in metric.sample_names}
    for query in queries():
        for name, selectors in SELECTOR.findall(query):
            labels = by_name[name].labels if name in by_name else {"job": sorted(JOBS)}
            for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', selectors):
                wanted = value.split("|") if "~" in operator else [value]
                known = labels[label]
                assert [each for each in wanted if not any(re.fullmatch(each, one) for one in known)] == [], query


def test_grouping_labels_exist() -> None:
    """Every label by which a query groups belongs to a metric of the query."""
    labels = {name: set(metric.labels) | {"le"} for metric in METRICS for name in metric.sample_names}
    for query in queries():
        known = set().union(*(labels.get(name, set()) for name in METRIC.findall(query))) | {"instance"}
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            assert {label.strip() for label in group.split(",")} <= known, query


def test_legends_name_labels_of_the_result() -> None:
    """The name of a curve uses only labels that the query keeps."""
    for row in ROWS:
        for panel in row.panels:
            for query in panel.queries:
                kept = {
                    label.strip() for group in re.findall(r"by \(([^)]*)\)", query.expr) for label in group.split(",")
                }
                used = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
                assert used <= kept | ({"instance"} if "process_" in query.expr else set()), panel.title


def test_jobs_agree() -> None:
    """The scrape configuration has the jobs that alerts and dashboard name, at the address of the compose file."""
    configured = {job["job_name"]: job for job in yaml.safe_load(CONFIG.read_text())["scrape_configs"]}
    assert set(configured) == JOBS
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    port = compose["exporter"]["environment"]["PHOTOGPT_HTTP_ADDRESS"].rpartition(":")[2]
    assert configured["photogpt-exporter"]["static_configs"] == [{"targets": [f"exporter:{port}"]}]
    (workers,) = configured["photogpt-worker"]["dns_sd_configs"]
    assert (workers["names"], str(workers["port"])) == (["worker"], port)
    assert compose["worker"]["environment"]["PHOTOGPT_HTTP_ADDRESS"] == f"0.0.0.0:{port}"


def test_the_dashboard_has_every_panel() -> None:
    """The dashboard has each panel once, none overlaps another, and each reads the chosen data source."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    diagrams = [panel for panel in panels if panel["type"] == "timeseries"]
    assert [panel["title"] for panel in diagrams] == [panel.title for row in ROWS for panel in row.panels]
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {target["datasource"]["uid"] for panel in diagrams for target in panel["targets"]} == {"${datasource}"}
