"""Polls per CPU second, compared with the HTTP library in a bare loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from ops.bench.machine import cpu_s, load
from ops.bench.medians import medians
from ops.bench.peers import celery_peer
from ops.bench.plan import Numbers, Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait
from worker.cli.local.processes import Child

NAME = "polls"
TEXT = (
    "More jobs in flight than can be polled in time, none of which ends; list polling is off and the interval fixed. "
    "The number of GET /jobs/{id} that the sandbox counted over some seconds, divided by the CPU seconds of the "
    "polling process: the polls/s of one whole core. bare: a loop with `requests` and kept-alive sessions only, the "
    "better of 1 and 16 threads."
)
COMPARED = ("bare", "obvious", "ours")
JOBS = 3000
INTERVAL_S = 1.0
FOREVER = "3600"


def steps(plan: Plan) -> Steps:
    """Return the runs of the loop and all designs, alternating."""
    names = [name for name in COMPARED if name in plan.peers or name == "bare"]
    return [
        (f"polls: {name}, run {turn + 1} of {plan.repeats}", partial(_run, plan, name, turn))
        for turn in range(plan.repeats)
        for name in names
    ]


def _run(plan: Plan, name: str, turn: int) -> list[Run]:
    before = load()
    with Stage(plan, f"polls-{name}-{turn}", duration=FOREVER) as stage:
        if name == "bare":
            runs = [_bare(stage, threads) for threads in (1, 16)]
            numbers = max(runs, key=lambda found: float(found["polls_per_cpu_s"]))
        else:
            numbers = _design(stage, name)
    return [Run(measure=NAME, peer=name, numbers=numbers, load_before=before)]


def _bare(stage: Stage, threads: int) -> Numbers:
    ids = stage.folder / "ids"
    ids.write_text("\n".join(stage.control.make(JOBS, duration=FOREVER)))
    log = stage.folder / f"bare-{threads}.log"
    argv = [sys.executable, "-m", "ops.bench.bare", str(threads), str(ids)]
    child = Child("bare", argv, env=stage.env(), log=log)
    try:
        wait(lambda: "ready" in log.read_text(), 30, "the bare loop starts")
        return _count(stage, lambda: cpu_s(child.pid)) | {"threads": threads}
    finally:
        child.kill()


def _design(stage: Stage, name: str) -> Numbers:
    off = {"PHOTOGPT_LIST_POLLING": "false", "PHOTOGPT_SCHEDULE": "fixed"}
    peer = celery_peer(name, stage, interval=INTERVAL_S, **off)
    with ExitStack() as ended:
        ended.callback(peer.stop)
        ids = stage.control.make(JOBS, duration=FOREVER)
        if name == "ours":  # a running worker would poll half of them before all are loaded
            peer.take_over(ids)
            peer.start()
        else:
            peer.start()
            peer.take_over(ids)
        wait(lambda: stage.counts()["requests"].get("getJobStatus", 0) > JOBS // 2, 60, "the worker polls")
        return _count(stage, peer.cpu_s)


def _count(stage: Stage, spent: Callable[[], float]) -> Numbers:
    """Count polls and CPU time over some seconds."""
    time.sleep(2)
    polls, cpu, sandbox, at = _polls(stage), spent(), cpu_s(stage.sandbox_pid()), time.monotonic()
    time.sleep(stage.plan.polling_s)
    polls, cpu, at = _polls(stage) - polls, spent() - cpu, time.monotonic() - at
    return {
        "polls": polls,
        "polls_per_cpu_s": round(polls / max(cpu, 0.01), 1),
        "polls_per_s": round(polls / at, 1),
        "cores": round(cpu / at, 2),
        "sandbox_cores": round((cpu_s(stage.sandbox_pid()) - sandbox) / at, 2),
    }


def _polls(stage: Stage) -> int:
    return int(stage.counts()["requests"].get("getJobStatus", 0))


def rows(runs: list[Run]) -> list[Row]:
    """Return our polls compared with the loop's."""
    what = "polls/s of one core, without list polling"
    return [medians(runs, what, "polls_per_cpu_s", against="bare", target="≥ 0.6", digits=0)]
