"""How many jobs one worker keeps in flight before it notices their ends too late."""

from __future__ import annotations

import time
from functools import partial

from ops.bench.figures import spread
from ops.bench.machine import cpu_s, load
from ops.bench.peers import PEERS, OnCelery
from ops.bench.plan import Numbers, Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "ladder"
TEXT = (
    "Rung by rung, so many jobs are in flight that do not end (made in the sandbox and handed over: to ours through "
    "the ledger, to the obvious design as tasks that know their generation). Once nothing is overdue, or a minute "
    "has passed, some hundred more begin whose ends are spread over a span of seconds. A rung holds if the p99 of "
    "their noticing lag is at most the interval and 1 s; what nobody has noticed when the measurement ends counts with "
    "the seconds until then."
)
PEERS_ASKED = ("obvious", "ours")
FOREVER = "36000"
BATCH = 5000  # generations that are made at once
SETTLE_S = 60.0
MARGIN_S = 1.0
OVERDUE_S = 1.0
LANES = "photogpt:lane:{jobs*"


def steps(plan: Plan) -> Steps:
    """Each design climbs until a rung breaks."""
    fallen: set[str] = set()
    return [
        (f"ladder: {jobs} jobs in flight, {name}", partial(_run, plan, name, jobs, fallen))
        for name in PEERS_ASKED
        if name in plan.peers
        for jobs in plan.ladder.get(name, ())
    ]


def _run(plan: Plan, name: str, jobs: int, fallen: set[str]) -> list[Run]:
    if name in fallen:
        return []
    before = load()
    with Stage(plan, f"ladder-{name}-{jobs}") as stage:
        made = PEERS[name]
        if not issubclass(made, OnCelery):
            raise TypeError(f"{name} cannot be given jobs in flight")
        peer = made(stage, PHOTOGPT_SCHEDULE="fixed", PHOTOGPT_JOB_DEADLINE_S=36000)
        try:
            numbers = _climb(plan, peer, stage, jobs)
        finally:
            peer.stop()
    if not numbers["holds"]:
        fallen.add(name)
    parameters = {"jobs": jobs, "interval_s": plan.interval, "page_size": plan.page_size, "endings": plan.endings}
    return [Run(measure=NAME, peer=name, numbers=numbers, parameters=parameters, load_before=before)]


def _climb(plan: Plan, peer: OnCelery, stage: Stage, jobs: int) -> Numbers:
    began = time.monotonic()
    if peer.name == "ours":  # written down first, or it would share the processor with what writes
        for first in range(0, jobs, BATCH):  # handed over soon after they were created, as a worker does
            peer.watch(stage.control.make(min(BATCH, jobs - first), duration=FOREVER))
        peer.start()
    else:
        peer.start()
        peer.watch(stage.control.make(jobs, duration=FOREVER))
    loaded = time.monotonic() - began
    settled = _settle(peer, stage, jobs)
    low = plan.interval
    ending = peer.watch(stage.control.make(plan.endings, duration=f"uniform:{low}:{low + plan.window_s}"))
    cpu, sandbox, asked, at = peer.cpu_s(), cpu_s(stage.sandbox_pid()), stage.requests(), time.monotonic()
    time.sleep(low + plan.window_s + plan.interval + MARGIN_S)
    span = time.monotonic() - at
    lags = stage.lags(ending)
    most = plan.interval + MARGIN_S
    return {
        "lag_s": spread(lags),
        "holds": spread(lags)["p99"] <= most,
        "late": sum(lag > most for lag in lags),
        "settled": settled,
        "loaded_s": round(loaded, 1),
        "requests_per_s": round((stage.requests() - asked) / span, 1),
        "cores": round((peer.cpu_s() - cpu) / span, 2),
        "sandbox_cores": round((cpu_s(stage.sandbox_pid()) - sandbox) / span, 2),
    }


def _settle(peer: OnCelery, stage: Stage, jobs: int) -> bool:
    """Wait two intervals and, where that can be seen from outside, until next to nothing is overdue."""
    time.sleep(2 * peer.interval)
    if peer.name != "ours":
        return True

    def even() -> bool:
        overdue = stage.redis.time()[0] - OVERDUE_S
        lanes = stage.redis.scan_iter(LANES, _type="zset")
        return sum(int(stage.redis.zcount(lane, "-inf", overdue)) for lane in lanes) <= jobs // 100

    try:
        wait(even, SETTLE_S, "nothing is overdue")
    except TimeoutError:
        return False
    return True


def rows(runs: list[Run]) -> list[Row]:
    """The highest rung that held."""
    held = {run.peer: 0 for run in runs}
    for run in runs:
        if run.numbers.get("holds"):
            held[run.peer] = max(held[run.peer], run.parameters["jobs"])
    known = held.get("ours") and held.get("obvious")
    return [
        Row(
            what="jobs in flight on one worker, p99 lag at most interval + 1 s",
            cells={peer: f"{jobs:,}" for peer, jobs in held.items()},
            ratio=held["ours"] / held["obvious"] if known else None,
            target="100,000 jobs",
        )
    ]
