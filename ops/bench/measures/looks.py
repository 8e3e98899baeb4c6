"""Looks per second of processor time, beside the HTTP library in a bare loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from ops.bench.machine import cpu_s, load
from ops.bench.medians import medians
from ops.bench.peers import PEERS, OnCelery
from ops.bench.plan import Numbers, Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait
from worker.cli.local.processes import Child

NAME = "looks"
TEXT = (
    "More jobs in flight than can be looked at in time, none of which ends; the sweep is off and the interval fixed. "
    "Over a span of seconds, GET /jobs/{id} that the sandbox counted by the processor seconds of the looking process: "
    "looks a second that one whole core would do. bare: the same with `requests`, kept-alive sessions and nothing "
    "around it, with one thread or with 16, whichever is better."
)
PEERS_ASKED = ("bare", "obvious", "ours")
JOBS = 3000
INTERVAL_S = 1.0
FOREVER = "3600"


def steps(plan: Plan) -> Steps:
    """The loop and each design in turn, then all again."""
    asked = [name for name in PEERS_ASKED if name in plan.peers or name == "bare"]
    return [
        (f"looks: {name}, run {turn + 1} of {plan.repeats}", partial(_run, plan, name, turn))
        for turn in range(plan.repeats)
        for name in asked
    ]


def _run(plan: Plan, name: str, turn: int) -> list[Run]:
    before = load()
    with Stage(plan, f"looks-{name}-{turn}", duration=FOREVER) as stage:
        if name == "bare":
            tried = [_bare(stage, threads) for threads in (1, 16)]
            numbers = max(tried, key=lambda found: float(found["looks_per_cpu_s"]))
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
        wait(lambda: "ready" in log.read_text(), 30, "the bare loop begins")
        return _count(stage, lambda: cpu_s(child.pid)) | {"threads": threads}
    finally:
        child.kill()


def _design(stage: Stage, name: str) -> Numbers:
    made = PEERS[name]
    if not issubclass(made, OnCelery):
        raise TypeError(f"{name} cannot be given jobs in flight")
    off = {"PHOTOGPT_LIST_POLLING": "false", "PHOTOGPT_SCHEDULE": "fixed"}
    peer = made(stage, interval=INTERVAL_S, **off)
    with ExitStack() as ended:
        ended.callback(peer.stop)
        ids = stage.control.make(JOBS, duration=FOREVER)
        if name == "ours":  # a running one would look at half of them meanwhile
            peer.watch(ids)
            peer.start()
        else:
            peer.start()
            peer.watch(ids)
        wait(lambda: stage.books()["requests"].get("getJobStatus", 0) > JOBS // 2, 60, "it looks")
        return _count(stage, peer.cpu_s)


def _count(stage: Stage, spent: Callable[[], float]) -> Numbers:
    """Count over a span, once it is under way."""
    time.sleep(2)
    looks, cpu, sandbox, at = _looks(stage), spent(), cpu_s(stage.sandbox_pid()), time.monotonic()
    time.sleep(stage.plan.looking_s)
    looks, cpu, at = _looks(stage) - looks, spent() - cpu, time.monotonic() - at
    return {
        "looks": looks,
        "looks_per_cpu_s": round(looks / max(cpu, 0.01), 1),
        "looks_per_s": round(looks / at, 1),
        "cores": round(cpu / at, 2),
        "sandbox_cores": round((cpu_s(stage.sandbox_pid()) - sandbox) / at, 2),
    }


def _looks(stage: Stage) -> int:
    return int(stage.books()["requests"].get("getJobStatus", 0))


def rows(runs: list[Run]) -> list[Row]:
    """Ours against the loop."""
    what = "looks per second of one core, without the sweep"
    return [medians(runs, what, "looks_per_cpu_s", against="bare", target="≥ 0.6", digits=0)]
