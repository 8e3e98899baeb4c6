"""The table of results, and the file of raw numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ops.bench.plan import Measure, Plan, Row, Run

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
RATIOS = "<!-- ratios -->", "<!-- /ratios -->"
REFERENCES = {"bare": "bare loop", "fixed": "fixed interval", "without": "without outputs"}


def raw(plan: Plan, machine: dict[str, Any], runs: Sequence[Run], *, argv: list[str], began: str) -> str:
    """Return plan, machine and runs as JSON."""
    parameters = {name: value for name, value in asdict(plan).items() if name != "folder"}
    numbers = {
        "began": began,
        "argv": argv,
        "machine": machine,
        "plan": parameters,
        "runs": [asdict(run) for run in runs],
    }
    return json.dumps(numbers, indent=1) + "\n"


def parse(text: str) -> tuple[dict[str, Any], list[Run]]:
    """Return all numbers and the runs of a file of raw numbers."""
    numbers = json.loads(text)
    return numbers, [Run(**run) for run in numbers["runs"]]


def markdown(measures: Sequence[Measure], runs: Sequence[Run], numbers: dict[str, Any], plots: Sequence[str]) -> str:
    """Return the table, the machine, and how each number is computed."""
    selected = [(measure, [run for run in runs if run.measure == measure.NAME]) for measure in measures]
    selected = [(measure, mine) for measure, mine in selected if mine]
    rows = [row for measure, mine in selected for row in measure.rows(mine)]
    lines = [
        "| | vendor's loop | one task per job | reference | this | this ÷ other | target |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *map(_line, rows),
        "",
        _conditions(numbers),
        "",
        *plots,
        *([""] if plots else []),
        "<details><summary>How each number is computed</summary>",
        "",
        *(f"- `{measure.NAME}`: {measure.TEXT}" for measure, _ in selected),
        "",
        "</details>",
    ]
    failed = [f"{run.measure}, {run.peer}: {run.numbers['failed']}" for run in runs if "failed" in run.numbers]
    if failed:
        lines += ["", f"Failed runs: {'; '.join(failed)}."]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    reference = next((f"{row.cells[name]} ({label})" for name, label in REFERENCES.items() if name in row.cells), "")
    cells = [row.what, row.cells.get("vendor", ""), row.cells.get("obvious", ""), reference, row.cells.get("ours", "")]
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    return f"| {' | '.join([*cells, ratio, row.target])} |"


def _conditions(numbers: dict[str, Any]) -> str:
    machine, plan = numbers["machine"], numbers["plan"]
    libraries = machine["libraries"]
    loads = [run["load_before"][0] for run in numbers["runs"] if run["load_before"]]
    busy = f"load average before a run {min(loads):g} to {max(loads):g}" if loads else "load unknown"
    dirty = f" and {machine['changed_files']} changed files" if machine["changed_files"] else ""
    return (
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, Celery {libraries['celery']}, "
        f"redis-py {libraries['redis']}, requests {libraries['requests']}; commit {machine['commit']}{dirty}, "
        f"{numbers['began'][:10]}, seed {plan['seed']}, {plan['jobs']:,} jobs at {plan['interval']:g} s, durations "
        f"{plan['duration']}, pages of {plan['page_size']}; `cpu` and `polls`: medians of {plan['repeats']} runs in "
        f"alternation, one run of the others; {busy}. Ratios hold within this table only."
    )


def insert(page: Path, text: str, markers: tuple[str, str] = (BEGIN, END)) -> bool:
    """Write a table between its markers; return False if a marker is missing."""
    begin, end = markers
    old = page.read_text(encoding="utf-8")
    if begin not in old or end not in old:
        return False
    before, _, following = old.partition(begin)
    after = following.partition(end)[2]
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
    return True
