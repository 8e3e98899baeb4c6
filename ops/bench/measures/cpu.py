"""CPU time, requests and delay per finished job."""

from __future__ import annotations

import time
from functools import partial

from ops.bench.figures import spread
from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import PEERS, Peer
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "cpu"
TEXT = (
    "All jobs are enqueued at once; the run ends when every producer has its result (vendor: when every thread has "
    "ended). CPU time: user and kernel seconds of the worker process from the first enqueue to the last end, divided "
    "by the number of jobs; trigger, polls, completion and Redis result included. Requests: all that the sandbox got, "
    "divided by the number of jobs. Delay: from a generation's end to the first GET /jobs/{id} that showed it, "
    "by the sandbox's clock. A design that falls behind (a p99 delay far above the interval) polls less often than "
    "configured and seems cheaper."
)
COMPARED = ("vendor", "obvious", "ours")


def steps(plan: Plan) -> Steps:
    """Return the runs of all designs, alternating."""
    names = [name for name in COMPARED if name in plan.peers]
    return [
        (f"cpu: {plan.jobs} jobs, {name}, run {turn + 1} of {plan.repeats}", partial(_run, plan, name, turn))
        for turn in range(plan.repeats)
        for name in names
    ]


def _run(plan: Plan, name: str, turn: int) -> list[Run]:
    before = load()
    with Stage(plan, f"cpu-{name}-{turn}") as stage:
        peer = PEERS[name](stage)
        try:
            peer.start(plan.jobs)
            return [_measure(plan, peer, stage, before)]
        finally:
            peer.stop()


def _measure(plan: Plan, peer: Peer, stage: Stage, before: list[float]) -> Run:
    cpu, memory, resident = peer.cpu_s(), peer.resident(), [0]
    began = time.monotonic()
    peer.enqueue(plan.jobs)
    enqueued = time.monotonic() - began

    def finished() -> bool:
        resident.append(peer.resident())
        return peer.finished() >= plan.jobs

    wait(finished, plan.limit_s, f"{peer.name} finishes {plan.jobs} jobs")
    spent, wall = peer.cpu_s() - cpu, time.monotonic() - began
    counts = stage.counts()
    return Run(
        measure=NAME,
        peer=peer.name,
        load_before=before,
        parameters={"jobs": plan.jobs, "interval_s": plan.interval, "duration": plan.duration},
        numbers={
            "created": sum(counts["created"].values()),
            "finished": peer.finished(),
            "cpu_ms_per_job": round(1000 * spent / plan.jobs, 3),
            "requests_per_job": round(sum(counts["requests"].values()) / plan.jobs, 3),
            "requests": counts["requests"],
            "delay_s": spread(stage.delays()),
            "memory_growth_mb": round((max(resident) - memory) / 1e6, 1),
            "max_in_flight": counts["max_active"],
            "wall_s": round(wall, 1),
            "enqueue_s": round(enqueued, 1),
        },
    )


def rows(runs: list[Run]) -> list[Row]:
    """Return one row per number."""
    return [
        medians(runs, "worker CPU per finished job, ms", "cpu_ms_per_job", target="≤ 0.2"),
        medians(runs, "API requests per finished job", "requests_per_job", target="≤ 2.3 requests", digits=2),
        medians(runs, "delay, mean, s", "delay_s.mean", digits=2),
        medians(runs, "delay, p99, s", "delay_s.p99", digits=2),
    ]
