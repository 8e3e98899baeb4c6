"""Whether storing outputs delays the noticing of other ends."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ops.bench.figures import spread
from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import Ours
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "outputs"
TEXT = (
    "The workload of `cpu`, ours only, with PHOTOGPT_OUTPUTS set to a folder (a PNG of 4 kB for each job) and without "
    "it, in alternation. Delay as in `cpu`. CPU time: until the file of every job is in the folder."
)
WITHOUT = "without"
DESIGNS = (WITHOUT, "ours")
MAX_REPEATS = 2


def steps(plan: Plan) -> Steps:
    """Return the runs with and without outputs, alternating."""
    return [
        (f"outputs: {plan.jobs} jobs, {name}, run {turn + 1}", partial(_run, plan, name, turn))
        for turn in range(min(MAX_REPEATS, plan.repeats))
        for name in DESIGNS
    ]


def _run(plan: Plan, name: str, turn: int) -> list[Run]:
    before = load()
    with Stage(plan, f"outputs-{name}-{turn}") as stage:
        folder = stage.folder / "stored"
        folder.mkdir()
        peer = Ours(stage, interval=None, **({} if name == WITHOUT else _settings(folder)))
        try:
            peer.start()
            idle = peer.cpu_s()
            peer.enqueue(plan.jobs)
            wait(lambda: peer.finished() >= plan.jobs, plan.limit_s, f"{plan.jobs} jobs finish")
            expected = 0 if name == WITHOUT else plan.jobs
            wait(lambda: _files(folder) >= expected, plan.limit_s, f"{expected} files are stored")
            cpu_ms = 1000 * (peer.cpu_s() - idle) / plan.jobs
        finally:
            peer.stop()
        numbers = {"delay_s": spread(stage.delays()), "cpu_ms_per_job": round(cpu_ms, 3), "files": _files(folder)}
    parameters = {"jobs": plan.jobs, "interval_s": plan.interval, "duration": plan.duration}
    return [Run(measure=NAME, peer=name, numbers=numbers, parameters=parameters, load_before=before)]


def _settings(folder: Path) -> dict[str, object]:
    return {"PHOTOGPT_OUTPUTS": folder.resolve().as_uri()}


def _files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*.png") if path.is_file())


def rows(runs: list[Run]) -> list[Row]:
    """Return delay and CPU time, with outputs and without."""
    return [
        medians(
            runs,
            "delay while outputs are stored, p99, s",
            "delay_s.p99",
            against=WITHOUT,
            target="≤ 1.1",
            digits=2,
        ),
        medians(runs, "worker CPU per finished job with its file, ms", "cpu_ms_per_job", against=WITHOUT),
    ]
