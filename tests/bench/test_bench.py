"""Benchmarks of a few seconds: they check that the numbers are consistent, never how good they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import redis

from config.settings import load_settings
from ops.bench import machine, plots, report
from ops.bench.__main__ import MEASURES, parse, planned, run, write
from ops.bench.figures import percentile
from ops.bench.fixed import equal_polls, fixed
from ops.bench.loader import load
from ops.bench.measures import cpu, delay
from ops.bench.plan import Plan, Run
from tests.running import keys
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.job import JobState
from worker.domain.lane import Lane
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import open_store

JOBS = 8


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, list[Run]]:
    """Run each of the three designs once."""
    folder = tmp_path_factory.mktemp("bench")
    plan = Plan(folder=folder, jobs=JOBS, repeats=1, interval=0.5, duration="0.7", peers=("vendor", "obvious", "ours"))
    return plan, run(plan, [cpu])


def test_every_design_finishes_every_job(measured: tuple[Plan, list[Run]]) -> None:
    """Every design makes one trigger and at least one poll per job, and every end has a delay."""
    _, runs = measured
    assert [each.peer for each in runs] == ["vendor", "obvious", "ours"]
    for each in runs:
        numbers = each.numbers
        assert numbers["created"] == numbers["finished"] == numbers["delay_s"]["count"] == JOBS
        assert numbers["requests"]["triggerImageGenerationJob"] == JOBS
        assert numbers["requests_per_job"] * JOBS == pytest.approx(sum(numbers["requests"].values()), abs=0.1)
        assert numbers["requests_per_job"] >= 2
        assert numbers["cpu_ms_per_job"] > 0
        assert 0 <= numbers["delay_s"]["mean"] <= numbers["delay_s"]["p99"]


def test_delays_are_compared(tmp_path: Path) -> None:
    """Two designs finish the same jobs from a cold start, and the table divides the medians of ours by the others'."""
    plan = Plan(folder=tmp_path, repeats=1, interval=0.5, duration="0.7", at_once=(20,), peers=("obvious", "ours"))
    found = [step for line, step in delay.steps(plan) if "warm" not in line]
    runs = [run for step in found for run in step()]
    assert [run.numbers["delay_s"]["count"] for run in runs] == [20, 20]
    mean, requests = (
        [run.numbers[name] if name != "mean" else run.numbers["delay_s"]["mean"] for run in runs]
        for name in ("mean", "requests_per_job")
    )
    (row,) = re.findall(r"^\| 20 \| (.*) \|$", delay.ratios(runs), flags=re.MULTILINE)
    cells = [float(cell) for cell in row.split(" | ")]
    assert cells[0] == pytest.approx(mean[1] / mean[0], abs=0.01)
    assert cells[2] == pytest.approx(requests[1] / requests[0], abs=0.01)
    assert {row.what for row in delay.rows(runs)} == {f"20 at once: {what}" for what, _ in delay.FIGURES}


def test_raw_numbers_can_be_rendered_again(measured: tuple[Plan, list[Run]], tmp_path: Path) -> None:
    """Raw numbers are read back unchanged, the table has a cell for each design, and plots are XML."""
    plan, runs = measured
    text = report.raw(plan, machine.describe(), runs, argv=["--quick"], began="2026-01-01T00:00:00+00:00")
    table = write(text, tmp_path, page=False)
    written = json.loads((tmp_path / "numbers.json").read_text())
    assert [Run(**each) for each in written["runs"]] == runs
    assert written["machine"]["cores"] >= 1
    assert written["plan"]["seed"] == plan.seed
    (row,) = re.findall(r"^\| API requests per finished job \| (.*) \|$", table, flags=re.MULTILINE)
    vendor, obvious, reference, ours, ratio, _ = [cell.strip() for cell in row.split("|")]
    assert float(ratio) == pytest.approx(float(ours) / float(obvious), abs=0.01)
    assert reference == ""
    assert float(vendor) >= 2
    for plot in ("cpu.svg", "requests.svg"):
        assert ET.fromstring((tmp_path / plot).read_text()).tag.endswith("svg")  # noqa: S314 - our own


def test_the_loader_writes_what_a_worker_would_have(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    """The loader leaves running jobs in the polling lane, no triggers and no open intents."""
    ids = [f"generation-{number}" for number in range(5)]
    assert load(valkey.url, ids, interval=5, seed=1) == set(ids)
    store = open_store(load_settings(redis_url=valkey.url), leave_to_lane_monitor)
    jobs = [store.jobs.get(f"in-flight-{generation_id}") for generation_id in ids]
    store.close()
    assert [job.generation_id for job in jobs if job and job.state is JobState.RUNNING] == ids
    assert (client.zcard(keys.lane(Lane.JOBS)), client.zcard(keys.lane(Lane.TRIGGERS))) == (5, 0)
    assert client.zcard(keys.intents) == 0


def test_a_failed_run_is_named(tmp_path: Path) -> None:
    """The table names a failed run and its error."""
    good = Run(measure="cpu", peer="ours", numbers={"cpu_ms_per_job": 2.0})
    bad = Run(measure="cpu", peer="obvious", numbers={"failed": "not within 1 s"})
    numbers: dict[str, Any] = {"machine": machine.describe(), "plan": vars(Plan(folder=tmp_path))}
    numbers |= {"began": "2026-01-01", "runs": [{"load_before": []}]}
    table = report.markdown(MEASURES, [good, bad], numbers, [])
    assert "Failed runs: cpu, obvious: not within 1 s." in table
    assert "| worker CPU per finished job, ms |  |  |  | 2.0 |" in table


def test_the_table_goes_between_its_markers(tmp_path: Path) -> None:
    """The table replaces the text between its markers and nothing else."""
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.insert(page, "new\n")
    assert page.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    page.write_text("no markers")
    assert not report.insert(page, "new\n")
    assert page.read_text() == "no markers"


def test_a_fixed_interval_is_calculated() -> None:
    """A fixed interval of 5 s polls a job of 12 s three times and notices it 3 s late."""
    assert fixed([12.0], 5.0) == (3.0, 3.0)
    durations = [7.0, 11.5, 23.0, 31.0]
    polls, mean = fixed(durations, 4.0)
    interval, equal = equal_polls(durations, polls)
    assert fixed(durations, interval)[0] == pytest.approx(polls)
    assert equal <= mean + 4.0


def test_a_percentile_is_one_of_the_values() -> None:
    """A percentile is one of the values, or 0 for no values."""
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(map(float, range(100)), 0.99) == 98.0
    assert percentile([], 0.5) == 0.0


def test_the_command_line_changes_the_plan(tmp_path: Path) -> None:
    """Command line options override the defaults, with and without --quick."""
    asked = parse(["--quick", "--jobs", "7", "--duration", "25", "--failing", "--page-size", "9", "--ladder", "10,20"])
    plan = planned(asked, tmp_path)
    assert (plan.jobs, plan.duration, plan.failing, plan.page_size, plan.repeats) == (7, "25", True, 9, 1)
    assert plan.ladder["ours"] == (10, 20)
    assert planned(parse([]), tmp_path).ladder["ours"][-1] == 100_000


def test_the_ladder_is_drawn() -> None:
    """The ladder plot has one line per design."""
    runs = [
        Run(measure="ladder", peer=peer, numbers={"delay_s": {"p99": p99}}, parameters={"jobs": jobs})
        for peer, jobs, p99 in (("obvious", 500, 4.9), ("ours", 1000, 5.2), ("ours", 100_000, 40.0))
    ]
    drawn = plots.draw(runs, {}, 6.0)
    assert list(drawn) == ["ladder"]
    assert len(ET.fromstring(drawn["ladder"]).findall(".//{*}polyline")) == 2  # noqa: S314 - our own
