"""Time from noticing an end to the first webhook byte."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from ops.bench.figures import spread
from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import Ours
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait
from tests.running import WEBHOOK_SECRET, Receiver

NAME = "webhook"
TEXT = (
    "100 jobs, five a second, on an idle machine. From the time at which the sandbox answered the GET /jobs/{id} that "
    "showed the end, to the time at which the receiver had read the webhook; both by this machine's clock. In a burst, "
    "the 100 jobs come and end together."
)
JOBS = 100
BURST_S = 8  # that each generation of a burst takes
GAP_S = 0.2
INTERVAL_S = 0.5


def steps(plan: Plan) -> Steps:
    """Return one run of each kind; a hundred webhooks are enough."""
    if "ours" not in plan.peers:
        return []
    return [("webhook: ours", partial(_run, plan)), ("webhook: ours, a burst", partial(_run, plan, burst=True))]


def _run(plan: Plan, *, burst: bool = False) -> list[Run]:
    before, receiver = load(), Receiver()
    duration = str(BURST_S) if burst else "uniform:0.5:2"
    settings = {"PHOTOGPT_WEBHOOK_URL": receiver.url, "PHOTOGPT_WEBHOOK_SECRETS": WEBHOOK_SECRET}
    with Stage(plan, "webhook-burst" if burst else "webhook", duration=duration) as stage:
        interval_s = plan.interval if burst else INTERVAL_S
        peer = Ours(stage, interval=interval_s, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8", **settings)
        try:
            peer.start()
            for _ in range(1 if burst else JOBS):
                peer.enqueue(JOBS if burst else 1)
                time.sleep(GAP_S)
            wait(lambda: len(receiver.requests) >= JOBS, plan.limit_s, "every webhook has arrived")
        finally:
            peer.stop()
            receiver.close()
        noticed = {end["jobId"]: end["endedAt"] + end["noticedAfterS"] for end in stage.control.ends()}
    first: dict[str, float] = {}
    for received in receiver.requests:
        first.setdefault(received.json["data"]["generation_id"], received.at)
    seconds = [at - noticed[generation_id] for generation_id, at in first.items()]
    numbers = {"burst_s" if burst else "after_s": spread(seconds)}
    return [Run(measure=NAME, peer="ours", numbers=numbers, load_before=before)]


def rows(runs: list[Run]) -> list[Row]:
    """Return median and p99 of single ends and of a burst."""
    single, burst = _ms(runs, "after_s"), _ms(runs, "burst_s")
    return [
        medians(single, "from noticed to the first webhook byte, p50, ms", "p50", digits=0),
        medians(single, "from noticed to the first webhook byte, p99, ms", "p99", digits=0, target="25"),
        medians(burst, "the same where 100 end together, p50, ms", "p50", digits=0),
        medians(burst, "the same where 100 end together, p99, ms", "p99", digits=0, target="25"),
    ]


def _ms(runs: list[Run], name: str) -> list[Run]:
    found = [run for run in runs if name in run.numbers]
    return [replace(run, numbers={key: 1000 * value for key, value in run.numbers[name].items()}) for run in found]
