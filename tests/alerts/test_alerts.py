"""A real Prometheus with the real rules: the right alert fires, no other, and it clears. Durations are divided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.monitoring.panels import ROWS
from tests.alerts.faults import FAULTS
from tests.alerts.rules import scaled_rules
from tests.alerts.stage import Stage
from tests.alerts.watch import watch
from tests.parts import need_program
from tests.waiting import wait_until

WITHIN_S = 40.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service under Prometheus."""
    program = need_program("prometheus")
    with Stage(tmp_path_factory.mktemp("alerts"), prometheus=program, scale=60) as running:
        yield running


def test_panels_have_data_and_the_right_alert_fires(stage: Stage) -> None:
    """Every panel shows data; a dead Redis, a frozen worker and a rejected key each fire their own alert only."""
    ended = [*stage.send(3, webhook_url=stage.receiver.url), *stage.send(2, kind="video", duration_s=0.3)]
    for job in ended:
        job.get(timeout=30)
    wait_until(lambda: without_data(stage) == [], "every panel has data")
    for name in ("Redis is killed", "one of two workers is frozen", "PhotoGPT rejects the key"):
        clears = name != "PhotoGPT rejects the key"  # that takes 15 s, since workers try a rejected key so often
        assert watch(stage, FAULTS[name], within=WITHIN_S, clears=clears).fired == {FAULTS[name].alert}, name


def without_data(stage: Stage) -> list[str]:
    """Return the queries of the dashboard to which Prometheus has no answer yet."""
    queries = [query.expr for row in ROWS for panel in row.panels for query in panel.queries]
    return [expr for expr in queries if not stage.query(expr.replace("$__rate_interval", "10s"))]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault(name: str, tmp_path: Path) -> None:
    """Each fault fires its own alert and no other, and the alert clears; durations are divided by 6."""
    with Stage(tmp_path, prometheus=need_program("prometheus"), scale=6) as running:
        assert watch(running, FAULTS[name], within=900).fired == {FAULTS[name].alert}


def test_durations_are_scaled() -> None:
    """A scale shortens `for`, ranges and lateness, and leaves counts and shares as they are."""
    by_name = {rule["alert"]: rule for rule in scaled_rules(60)["groups"][0]["rules"]}
    assert by_name["PhotoGPTLaneStalled"]["for"] == "2000ms"
    assert "> 5 " in by_name["PhotoGPTLaneStalled"]["expr"]
    assert "[15000ms]" in by_name["PhotoGPTJobsFail"]["expr"]
    assert ">= 20" in by_name["PhotoGPTJobsFail"]["expr"]
    assert "> 10" in by_name["PhotoGPTTriggersUnresolved"]["expr"]
