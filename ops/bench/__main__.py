"""`make bench`: run the measures, write the raw numbers, the plots and the table."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.bench import machine, plots, report
from ops.bench.measures import cpu, delay, ladder, memory, outputs, polls, schedule, share, webhook
from ops.bench.plan import Measure, Plan, Run

MEASURES: tuple[Measure, ...] = (delay, cpu, ladder, polls, schedule, memory, webhook, share, outputs)
IN_QUICK = ("cpu", "polls", "memory", "webhook")
RESULTS = Path(__file__).parent / "results"
PAGE = machine.ROOT / "ops" / "docs" / "benchmarks.md"
README = machine.ROOT / "README.md"
PEERS = ("vendor", "obvious", "ours")
FULL: dict[str, Any] = {
    "ladder": {"obvious": (500, 1000, 2000), "ours": (1000, 10_000, 100_000)},
    "peers": PEERS,
}
QUICK: dict[str, Any] = {
    "jobs": 150,
    "at_once": (5, 40),
    "repeats": 1,
    "interval": 2.0,
    "duration": "lognormal:6:0.4",
    "ladder": {"obvious": (500, 1000), "ours": (500, 1000, 2000)},
    "endings": 100,
    "window_s": 8.0,
    "waiting": 1000,
    "polling_s": 4.0,
    "few": 60,
    "peers": PEERS,
}


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    names = [measure.NAME for measure in MEASURES]
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"small versions of {', '.join(IN_QUICK)}, 2 to 3 minutes")
    parser.add_argument("--only", action="append", choices=names, help="this measure; repeatable")
    parser.add_argument("--peers", action="append", choices=PEERS, help="this design; repeatable")
    parser.add_argument("--jobs", type=int, help="enqueued at once (cpu)")
    parser.add_argument("--at-once", help="enqueued at once, one run after the other: 1,5,40,1000 (delay)")
    parser.add_argument("--repeats", type=int, help="runs of each design, alternating with the others (cpu, polls)")
    parser.add_argument("--interval", type=float, help="seconds between two polls")
    parser.add_argument(
        "--duration", help="of a generation, seconds: 25, bimodal:10:60:0.2, lognormal:15:1.2, exp:20, …"
    )
    parser.add_argument(
        "--failing", action="store_true", help="every generation fails; with a constant --duration at once"
    )
    parser.add_argument("--page-size", type=int, help="entries on a page of GET /jobs")
    parser.add_argument("--rate-limit", type=float, help="requests a second that the API answers; more get 429")
    parser.add_argument("--waiting", type=int, help="jobs that wait while memory is read (memory)")
    parser.add_argument("--ladder", help="jobs in flight of our rungs: 1000,5000")
    parser.add_argument("--few", type=int, help="jobs to learn durations from, and as many to measure (schedule)")
    parser.add_argument("--limit", dest="limit_s", type=float, help="seconds after which a run is aborted")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", type=Path, help="folder for raw numbers and plots")
    parser.add_argument(
        "--page", action="store_true", help="write the table into ops/docs/benchmarks.md even after a partial run"
    )
    parser.add_argument("--render", type=Path, help="run nothing; render table and plots from this file of raw numbers")
    return parser.parse_args(argv)


def planned(arguments: argparse.Namespace, folder: Path) -> Plan:
    """Return the plan: defaults, overridden by the command line."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    plan = Plan(folder=folder, **(QUICK if arguments.quick else FULL))
    others = {"only", "at_once", "peers", "quick", "ladder", "out", "page", "render"}
    plan = replace(plan, **{name: value for name, value in given.items() if name not in others})
    if arguments.peers:
        plan = replace(plan, peers=tuple(arguments.peers))
    if arguments.at_once:
        plan = replace(plan, at_once=tuple(int(jobs) for jobs in arguments.at_once.split(",")))
    if arguments.ladder:
        plan = replace(plan, ladder={**plan.ladder, "ours": tuple(int(rung) for rung in arguments.ladder.split(","))})
    return plan


def run(plan: Plan, measures: Sequence[Measure]) -> list[Run]:
    """Run every step; record a run that fails as failed."""
    runs: list[Run] = []
    for measure in measures:
        for line, step in measure.steps(plan):
            began = time.monotonic()
            print(f"{line} … ", end="", flush=True)
            try:
                found = step()
            except Exception as error:  # noqa: BLE001 - one failure must not lose half an hour of other runs
                problem = str(error) or repr(error)
                found = [Run(measure=measure.NAME, peer=_peer_in(line), numbers={"failed": problem})]
            runs += found
            print(f"{time.monotonic() - began:.0f} s", flush=True)
            for each in found:
                print(f"  {each.peer}: {each.numbers}", flush=True)
    return runs


def _peer_in(line: str) -> str:
    return next((peer for peer in (*PEERS, outputs.WITHOUT) if peer in line), "bare")


def write(numbers_text: str, folder: Path, *, page: bool) -> str:
    """Write raw numbers, plots and, if requested, the page of benchmarks; return the table."""
    numbers, runs = report.parse(numbers_text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "numbers.json").write_text(numbers_text, encoding="utf-8")
    svgs = plots.draw(runs, _bars(runs), numbers["plan"]["interval"] + ladder.MARGIN_S)
    for name, text in svgs.items():
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    where = os.path.relpath(folder.resolve(), PAGE.parent)
    table = report.markdown(MEASURES, runs, numbers, [f"![{name}]({where}/{name}.svg)" for name in svgs])
    if page and not report.insert(PAGE, table):
        print(f"{PAGE} has no {report.BEGIN} … {report.END}; the table was not written to it")
    measured = [run for run in runs if run.measure == delay.NAME and "failed" not in run.numbers]
    if not measured:
        return table
    ratios = delay.ratios(measured)
    for each in (README, PAGE) if page else ():
        report.insert(each, ratios, report.RATIOS)
    return f"{ratios}\n{table}"


def _bars(runs: Sequence[Run]) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for name, number in (("cpu", "cpu_ms_per_job"), ("requests", "requests_per_job")):
        for peer in PEERS:
            values = [
                r.numbers[number] for r in runs if r.measure == cpu.NAME and r.peer == peer and number in r.numbers
            ]
            if values:
                found.setdefault(name, []).append((peer, statistics.median(values)))
    return found


def main(argv: list[str]) -> None:
    """Run the measures that the command line selects."""
    arguments = parse(argv)
    folder = arguments.out or (RESULTS / "quick" if arguments.quick else RESULTS)
    complete = not (arguments.quick or arguments.only or arguments.peers)
    if arguments.render:
        print(write(arguments.render.read_text(encoding="utf-8"), folder, page=arguments.page))
        return
    names = arguments.only or (IN_QUICK if arguments.quick else [measure.NAME for measure in MEASURES])
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="photogpt-bench-") as temporary:
        plan = planned(arguments, Path(temporary))
        runs = run(plan, [measure for measure in MEASURES if measure.NAME in names])
    text = report.raw(plan, machine.describe(), runs, argv=argv, began=began)
    print(write(text, folder, page=arguments.page or complete))


if __name__ == "__main__":
    main(sys.argv[1:])
