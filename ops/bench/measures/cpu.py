"""What a finished job costs: processor time, requests, and how late its end is noticed."""

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
    "All jobs are enqueued at once and left alone until every producer has its result (vendor: until every thread "
    "has ended). Processor time: user and kernel seconds of the worker process from the first enqueue to the last end, "
    "nothing subtracted, by the number of jobs; trigger, looks, completion and Redis result included. Requests: all "
    "that the sandbox got, by jobs. Noticing lag: by the sandbox's books, from a generation's end to the first "
    "GET /jobs/{id} that told it. A design that falls behind (a p99 lag far above the interval) looks less often than "
    "it was told to, and seems cheaper for that."
)
PEERS_ASKED = ("vendor", "obvious", "ours")


def steps(plan: Plan) -> Steps:
    """Each design in turn, then all again."""
    asked = [name for name in PEERS_ASKED if name in plan.peers]
    return [
        (f"cpu: {plan.jobs} jobs, {name}, run {turn + 1} of {plan.repeats}", partial(_run, plan, name, turn))
        for turn in range(plan.repeats)
        for name in asked
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
    cpu, memory, most = peer.cpu_s(), peer.resident(), [0]
    began = time.monotonic()
    peer.enqueue(plan.jobs)
    enqueued = time.monotonic() - began

    def over() -> bool:
        most.append(peer.resident())
        return peer.finished() >= plan.jobs

    wait(over, plan.limit_s, f"{peer.name} finishes {plan.jobs} jobs")
    spent, wall = peer.cpu_s() - cpu, time.monotonic() - began
    books = stage.books()
    return Run(
        measure=NAME,
        peer=peer.name,
        load_before=before,
        parameters={"jobs": plan.jobs, "interval_s": plan.interval, "duration": plan.duration},
        numbers={
            "created": sum(books["created"].values()),
            "finished": peer.finished(),
            "cpu_ms_per_job": round(1000 * spent / plan.jobs, 3),
            "requests_per_job": round(sum(books["requests"].values()) / plan.jobs, 3),
            "requests": books["requests"],
            "lag_s": spread(stage.lags()),
            "memory_growth_mb": round((max(most) - memory) / 1e6, 1),
            "most_in_flight": books["max_active"],
            "wall_s": round(wall, 1),
            "enqueue_s": round(enqueued, 1),
        },
    )


def rows(runs: list[Run]) -> list[Row]:
    """One for each number."""
    return [
        medians(runs, "worker CPU per finished job, ms", "cpu_ms_per_job", target="≤ 0.2"),
        medians(runs, "API requests per finished job", "requests_per_job", target="≤ 2.3 requests", digits=2),
        medians(runs, "noticing lag, mean, s", "lag_s.mean", digits=2),
        medians(runs, "noticing lag, p99, s", "lag_s.p99", digits=2),
    ]
