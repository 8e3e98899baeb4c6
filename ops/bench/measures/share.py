"""How evenly several worker processes share the work, and its CPU cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ops.bench.figures import spread
from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import Ours
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "share"
TEXT = (
    "The workload of `cpu`, with one, two and four of our worker processes on one Redis, with the same settings. CPU "
    "time: of all processes together, divided by the number of jobs. Largest share: that of one process; 1 divided by "
    "the number of processes if all do the same work."
)
PROCESSES = (1, 2, 4)


def steps(plan: Plan) -> Steps:
    """Return one run per number of processes."""
    return [(f"share: {plan.jobs} jobs, ours, {count} processes", partial(_run, plan, count)) for count in PROCESSES]


def _run(plan: Plan, count: int) -> list[Run]:
    before = load()
    with Stage(replace(plan, workers=count), f"share-{count}") as stage:
        peer = Ours(stage)
        try:
            peer.start()
            idle = peer.each_cpu_s()
            peer.enqueue(plan.jobs)
            wait(lambda: peer.finished() >= plan.jobs, plan.limit_s, f"{count} processes finish {plan.jobs} jobs")
            spent = [now - then for now, then in zip(peer.each_cpu_s(), idle, strict=True)]
        finally:
            peer.stop()
        numbers = {
            "cpu_ms_per_job": round(1000 * sum(spent) / plan.jobs, 3),
            "largest_share": round(max(spent) / sum(spent), 3),
            "requests_per_job": round(stage.requests() / plan.jobs, 3),
            "delay_s": spread(stage.delays()),
        }
    parameters = {"jobs": plan.jobs, "processes": count}
    return [Run(measure=NAME, peer="ours", numbers=numbers, parameters=parameters, load_before=before)]


def rows(runs: list[Run]) -> list[Row]:
    """Return CPU time and largest share, by number of processes."""
    found = []
    for count in PROCESSES:
        mine = [run for run in runs if run.parameters.get("processes") == count]
        if mine:
            found += [
                medians(mine, f"CPU per finished job with {count} worker processes, ms", "cpu_ms_per_job"),
                medians(mine, f"largest share of one of {count} processes", "largest_share", digits=2),
            ]
    return found
