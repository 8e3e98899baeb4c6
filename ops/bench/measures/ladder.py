"""The number of jobs in flight up to which one worker notices ends in time."""

from __future__ import annotations

import time
from functools import partial

from ops.bench.figures import spread
from ops.bench.machine import cpu_s, load
from ops.bench.peers import OnCelery, celery_peer
from ops.bench.plan import Numbers, Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait
from worker.domain.lane import Lane
from worker.store.keys import Keys

NAME = "ladder"
TEXT = (
    "On each rung, this many jobs are in flight that do not end (made in the sandbox; ours are written to Redis, the "
    "obvious design gets tasks with their generation). When nothing is overdue, or after a minute, some hundred more "
    "start whose ends are spread over some seconds. A rung holds if the p99 of their delay is at most the "
    "interval plus 1 s; an end not noticed by the end of the measurement counts with the seconds until then."
)
COMPARED = ("obvious", "ours")
FOREVER = "36000"
BATCH = 5000  # generations per call of the control API
SETTLE_S = 60.0
MARGIN_S = 1.0
OVERDUE_S = 1.0


def steps(plan: Plan) -> Steps:
    """Return the rungs of each design; rungs above one that did not hold are skipped."""
    failed: set[str] = set()
    return [
        (f"ladder: {jobs} jobs in flight, {name}", partial(_run, plan, name, jobs, failed))
        for name in COMPARED
        if name in plan.peers
        for jobs in plan.ladder.get(name, ())
    ]


def _run(plan: Plan, name: str, jobs: int, failed: set[str]) -> list[Run]:
    if name in failed:
        return []
    before = load()
    with Stage(plan, f"ladder-{name}-{jobs}") as stage:
        peer = celery_peer(name, stage, PHOTOGPT_SCHEDULE="fixed", PHOTOGPT_JOB_DEADLINE_S=36000)
        try:
            numbers = _climb(plan, peer, stage, jobs)
        finally:
            peer.stop()
    if not numbers["holds"]:
        failed.add(name)
    parameters = {"jobs": jobs, "interval_s": plan.interval, "page_size": plan.page_size, "endings": plan.endings}
    return [Run(measure=NAME, peer=name, numbers=numbers, parameters=parameters, load_before=before)]


def _climb(plan: Plan, peer: OnCelery, stage: Stage, jobs: int) -> Numbers:
    began = time.monotonic()
    if peer.name == "ours":  # before the start, or loading would share the CPU with the worker
        for first in range(0, jobs, BATCH):  # in batches, so that jobs and generations have about the same age
            peer.take_over(stage.control.make(min(BATCH, jobs - first), duration=FOREVER))
        peer.start()
    else:
        peer.start()
        peer.take_over(stage.control.make(jobs, duration=FOREVER))
    loaded = time.monotonic() - began
    settled = _settle(peer, stage, jobs)
    low = plan.interval
    ending = peer.take_over(stage.control.make(plan.endings, duration=f"uniform:{low}:{low + plan.window_s}"))
    cpu, sandbox, requests, at = peer.cpu_s(), cpu_s(stage.sandbox_pid()), stage.requests(), time.monotonic()
    time.sleep(low + plan.window_s + plan.interval + MARGIN_S)
    span = time.monotonic() - at
    delays = stage.delays(ending)
    limit = plan.interval + MARGIN_S
    return {
        "delay_s": spread(delays),
        "holds": spread(delays)["p99"] <= limit,
        "late": sum(delay > limit for delay in delays),
        "settled": settled,
        "loaded_s": round(loaded, 1),
        "requests_per_s": round((stage.requests() - requests) / span, 1),
        "cores": round((peer.cpu_s() - cpu) / span, 2),
        "sandbox_cores": round((cpu_s(stage.sandbox_pid()) - sandbox) / span, 2),
    }


def _settle(peer: OnCelery, stage: Stage, jobs: int) -> bool:
    """Wait two intervals and, for our lanes, until at most 1 % of the jobs are overdue."""
    time.sleep(2 * peer.interval)
    if peer.name != "ours":
        return True

    def caught_up() -> bool:
        overdue = stage.redis.time()[0] - OVERDUE_S
        return int(stage.redis.zcount(Keys().lane(Lane.JOBS), "-inf", overdue)) <= jobs // 100

    try:
        wait(caught_up, SETTLE_S, "nothing is overdue")
    except TimeoutError:
        return False
    return True


def rows(runs: list[Run]) -> list[Row]:
    """Return the highest rung that held."""
    held = {run.peer: 0 for run in runs}
    for run in runs:
        if run.numbers.get("holds"):
            held[run.peer] = max(held[run.peer], run.parameters["jobs"])
    known = held.get("ours") and held.get("obvious")
    return [
        Row(
            what="jobs in flight on one worker, p99 delay at most interval + 1 s",
            cells={peer: f"{jobs:,}" for peer, jobs in held.items()},
            ratio=held["ours"] / held["obvious"] if known else None,
            target="100,000 jobs",
        )
    ]
