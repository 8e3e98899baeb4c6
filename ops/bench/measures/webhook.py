"""Time from noticing an end to the first webhook byte."""

from __future__ import annotations

import time
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
    "showed the end, to the time at which the receiver had read the webhook; both by this machine's clock."
)
JOBS = 100
GAP_S = 0.2
INTERVAL_S = 0.5


def steps(plan: Plan) -> Steps:
    """Return one run; a hundred webhooks are enough."""
    return [("webhook: ours", partial(_run, plan))] if "ours" in plan.peers else []


def _run(plan: Plan) -> list[Run]:
    before, receiver = load(), Receiver()
    settings = {"PHOTOGPT_WEBHOOK_URL": receiver.url, "PHOTOGPT_WEBHOOK_SECRETS": WEBHOOK_SECRET}
    with Stage(plan, "webhook", duration="uniform:0.5:2") as stage:
        peer = Ours(stage, interval=INTERVAL_S, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8", **settings)
        try:
            peer.start()
            for _ in range(JOBS):
                peer.enqueue(1)
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
    return [Run(measure=NAME, peer="ours", numbers={"after_s": spread(seconds)}, load_before=before)]


def rows(runs: list[Run]) -> list[Row]:
    """Return median and p99."""
    inline = [Run(measure=NAME, peer=run.peer, numbers=_ms(run)) for run in runs if "after_s" in run.numbers]
    return [
        medians(inline, "from noticed to the first webhook byte, p50, ms", "p50", digits=0),
        medians(inline, "from noticed to the first webhook byte, p99, ms", "p99", digits=0, target="tens of ms"),
    ]


def _ms(run: Run) -> dict[str, float]:
    return {name: 1000 * seconds for name, seconds in run.numbers["after_s"].items()}
