"""How late an end is noticed while few are in flight, beside a fixed interval that asks as often."""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial

from ops.bench.fixed import compare
from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import Ours
from ops.bench.plan import Plan, Row, Run, Steps
from ops.bench.simulate import trainings
from ops.bench.stage import Stage

NAME = "sooner"
TEXT = (
    "Images: 20 at a time, lognormal durations, median 25 s, sigma 0.5, interval 5 s, one worker. First some hundred "
    "from which it may learn, then those that count. Requests: all but triggers, so that a page of GET /jobs counts. "
    "Trainings: 20 to 25 minutes, interval 300 s, learned from 20; the worker's scheduling code on a clock of its own. "
    "fixed: for the very durations that came up, the lag of looks every T seconds by arithmetic, T such that as many "
    "requests are made: an ideal poller that is never late."
)
IMAGES, TRAININGS = "image", "training"
AT_ONCE = 20
LAW = "lognormal:25:0.5"


def steps(plan: Plan) -> Steps:
    """Images, then trainings."""
    return [
        (f"sooner: {AT_ONCE} images at a time", partial(_images, plan)),
        ("sooner: trainings, simulated", partial(trainings, plan)),
    ]


def _images(plan: Plan) -> list[Run]:
    before = load()
    with Stage(plan, "sooner", duration=LAW) as stage:
        peer = Ours(stage)
        try:
            peer.start()
            _keep_busy(plan, peer, plan.few)
            looks = _looks(stage)
            _keep_busy(plan, peer, plan.few)
            looks = _looks(stage) - looks
        finally:
            peer.stop()
        generations = stage.control.generations(kind=IMAGES)[plan.few :]
    durations = [_epoch(each["endsAt"]) - _epoch(each["createdAt"]) for each in generations]
    lags = [each["noticedAfterS"] for each in generations if each["noticedAfterS"] is not None]
    return compare(durations, lags, looks / len(generations), before, kind=IMAGES, simulated=False)


def _keep_busy(plan: Plan, peer: Ours, jobs: int) -> None:
    """Do so many jobs, not more than a few at a time."""
    begun, sent = peer.finished(), 0
    deadline = time.monotonic() + 2 * plan.limit_s
    while (done := peer.finished() - begun) < jobs:
        more = min(AT_ONCE - (sent - done), jobs - sent)
        peer.enqueue(more)
        sent += more
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done} of {jobs} jobs have ended in {2 * plan.limit_s:g} s")
        time.sleep(0.1)


def _looks(stage: Stage) -> int:
    """Return all that was asked, triggers apart: a page of GET /jobs is a look, too."""
    asked = stage.books()["requests"]
    return int(sum(count for operation, count in asked.items() if not operation.startswith("trigger")))


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def rows(runs: list[Run]) -> list[Row]:
    """Images and trainings, where they were measured."""
    targets = {IMAGES: ("image-like, few in flight", "≤ 0.6"), TRAININGS: ("a training of 20 to 25 min", "≤ 0.3")}
    return [
        medians(
            [run for run in runs if run.parameters.get("kind") == kind],
            f"mean noticing lag at equal requests, s: {what}",
            "lag_mean_s",
            against="fixed",
            target=target,
            digits=2,
        )
        for kind, (what, target) in targets.items()
        if any(run.parameters.get("kind") == kind for run in runs)
    ]
