"""What a job holds while it waits: memory of the worker, memory of Redis."""

from __future__ import annotations

import time
from functools import partial

from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import PEERS, Peer
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "parked"
TEXT = (
    "A worker gets 2,000 jobs, so that its threads and connections exist; then many more, all the way through its "
    "producer's queue. All last an hour, and the first look is ten minutes away: they do nothing but wait. Worker "
    "memory: resident bytes once the last one is triggered and the broker's queue is empty, less those before the "
    "first was enqueued, for every 10,000. Redis: used_memory less client and append-only-file buffers, after less "
    "before, by jobs: broker, result backend, ledger and event streams together."
)
PEERS_ASKED = ("obvious", "ours")
WARM = 2000
INTERVAL_S = 600.0
REST_S = 5.0


def steps(plan: Plan) -> Steps:
    """Each design once: memory does not depend on who else runs."""
    asked = [name for name in PEERS_ASKED if name in plan.peers]
    return [(f"parked: {plan.parked} jobs, {name}", partial(_run, plan, name)) for name in asked]


def _run(plan: Plan, name: str) -> list[Run]:
    before = load()
    with Stage(plan, f"parked-{name}", duration="3600") as stage:
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
    _enqueue(plan, peer, stage, plan.parked)
    triggered = time.monotonic() - began - REST_S
    grown, stored = peer.resident() - memory, stage.redis_bytes() - redis_bytes
    return Run(
        measure=NAME,
        peer=peer.name,
        load_before=before,
        parameters={"jobs": plan.parked, "interval_s": INTERVAL_S},
        numbers={
            "created": _created(stage),
            "worker_mb_per_10000": round(grown / 1e6 * 10_000 / plan.parked, 1),
            "redis_bytes_per_job": round(stored / plan.parked),
            "triggers_per_s": round(plan.parked / triggered, 1),
        },
    )


def _enqueue(plan: Plan, peer: Peer, stage: Stage, jobs: int) -> None:
    """Enqueue, and wait until all of it has been triggered, is out of the broker's queue, and has come to rest."""
    wanted = _created(stage) + jobs
    peer.enqueue(jobs)
    wait(lambda: _created(stage) >= wanted, plan.limit_s, f"{jobs} jobs are triggered")
    wait(lambda: stage.redis.llen("celery") == 0, plan.limit_s, "the broker's queue is empty")
    time.sleep(REST_S)


def _created(stage: Stage) -> int:
    return int(sum(stage.books()["created"].values()))


def rows(runs: list[Run]) -> list[Row]:
    """One for each kind of memory."""
    return [
        medians(runs, "worker memory per 10,000 jobs in flight, MB", "worker_mb_per_10000", target="≤ 2 MB"),
        medians(runs, "Redis memory per job in flight, bytes", "redis_bytes_per_job", target="≤ 2,000 B", digits=0),
    ]
