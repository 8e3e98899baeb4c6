"""Memory of worker and Redis per waiting job."""

from __future__ import annotations

import time
from functools import partial

from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import PEERS, Peer
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "memory"
TEXT = (
    "A worker gets 2,000 jobs, so that its threads and connections exist, then many more, all enqueued by a producer. "
    "Their generations take an hour, and the first poll is due after ten minutes, so they only wait. Worker memory: "
    "the growth of its resident bytes until all are triggered and the broker's queue is empty, per 10,000 jobs. Redis: "
    "the growth of used_memory less client and append-only-file buffers, per job: broker, result backend, records and "
    "event streams together."
)
COMPARED = ("obvious", "ours")
WARM = 2000
INTERVAL_S = 600.0
SETTLE_S = 5.0


def steps(plan: Plan) -> Steps:
    """Return one run per design."""
    names = [name for name in COMPARED if name in plan.peers]
    return [(f"memory: {plan.waiting} jobs, {name}", partial(_run, plan, name)) for name in names]


def _run(plan: Plan, name: str) -> list[Run]:
    before = load()
    with Stage(plan, f"memory-{name}", duration="3600") as stage:
        peer = PEERS[name](stage, interval=INTERVAL_S, PHOTOGPT_SCHEDULE="fixed")
        try:
            peer.start()
            return [_measure(plan, peer, stage, before)]
        finally:
            peer.stop()


def _measure(plan: Plan, peer: Peer, stage: Stage, before: list[float]) -> Run:
    _enqueue(plan, peer, stage, WARM)
    memory, redis_bytes = peer.resident(), stage.redis_bytes()
    began = time.monotonic()
    _enqueue(plan, peer, stage, plan.waiting)
    triggered = time.monotonic() - began - SETTLE_S
    grown, stored = peer.resident() - memory, stage.redis_bytes() - redis_bytes
    return Run(
        measure=NAME,
        peer=peer.name,
        load_before=before,
        parameters={"jobs": plan.waiting, "interval_s": INTERVAL_S},
        numbers={
            "created": _created(stage),
            "worker_mb_per_10000": round(grown / 1e6 * 10_000 / plan.waiting, 1),
            "redis_bytes_per_job": round(stored / plan.waiting),
            "triggers_per_s": round(plan.waiting / triggered, 1),
        },
    )


def _enqueue(plan: Plan, peer: Peer, stage: Stage, jobs: int) -> None:
    """Enqueue, and wait until all jobs are triggered, the queue is empty, and memory has settled."""
    target = _created(stage) + jobs
    peer.enqueue(jobs)
    wait(lambda: _created(stage) >= target, plan.limit_s, f"{jobs} jobs are triggered")
    wait(lambda: stage.redis.llen("celery") == 0, plan.limit_s, "the broker's queue is empty")
    time.sleep(SETTLE_S)


def _created(stage: Stage) -> int:
    return int(sum(stage.counts()["created"].values()))


def rows(runs: list[Run]) -> list[Row]:
    """Return one row per kind of memory."""
    return [
        medians(runs, "worker memory per 10,000 jobs in flight, MB", "worker_mb_per_10000", target="≤ 2 MB"),
        medians(runs, "Redis memory per job in flight, bytes", "redis_bytes_per_job", target="≤ 2,000 B", digits=0),
    ]
