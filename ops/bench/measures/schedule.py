"""Delay with few jobs in flight, compared with a fixed interval that makes as many requests."""

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

NAME = "schedule"
TEXT = (
    "Images: 20 at a time, lognormal durations, median 25 s, sigma 0.5, interval 5 s, one worker. It learns durations "
    "from the first hundred; the next hundred count. Requests: all except triggers, pages of GET /jobs included. "
    "Trainings: 20 to 25 minutes, interval 300 s, learned from 20; the worker's scheduling code on a simulated clock. "
    "fixed: the calculated delay, for the same durations, of an ideal poller with the fixed interval that makes as "
    "many requests."
)
IMAGES, TRAININGS = "image", "training"
AT_ONCE = 20
DURATION = "lognormal:25:0.5"


def steps(plan: Plan) -> Steps:
    """Return the runs of images and of trainings."""
    return [
        (f"schedule: {AT_ONCE} images at a time", partial(_images, plan)),
        ("schedule: trainings, simulated", partial(trainings, plan)),
    ]


def _images(plan: Plan) -> list[Run]:
    before = load()
    with Stage(plan, "schedule", duration=DURATION) as stage:
        peer = Ours(stage)
        try:
            peer.start()
            _keep_busy(plan, peer, plan.few)
            polls = _polls(stage)
            _keep_busy(plan, peer, plan.few)
            polls = _polls(stage) - polls
        finally:
            peer.stop()
        generations = stage.control.generations(kind=IMAGES)[plan.few :]
    durations = [_epoch(each["endsAt"]) - _epoch(each["createdAt"]) for each in generations]
    delays = [each["noticedAfterS"] for each in generations if each["noticedAfterS"] is not None]
    return compare(durations, delays, polls / len(generations), before, kind=IMAGES, simulated=False)


def _keep_busy(plan: Plan, peer: Ours, jobs: int) -> None:
    """Enqueue this many jobs, with a bounded number in flight, until all have ended."""
    begun, sent = peer.finished(), 0
    deadline = time.monotonic() + 2 * plan.limit_s
    while (done := peer.finished() - begun) < jobs:
        more = min(AT_ONCE - (sent - done), jobs - sent)
        peer.enqueue(more)
        sent += more
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done} of {jobs} jobs have ended in {2 * plan.limit_s:g} s")
        time.sleep(0.1)


def _polls(stage: Stage) -> int:
    """Return the number of requests except triggers; a page of GET /jobs counts as one."""
    requests = stage.counts()["requests"]
    return int(sum(count for operation, count in requests.items() if not operation.startswith("trigger")))


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def rows(runs: list[Run]) -> list[Row]:
    """Return the rows of images and of trainings."""
    targets = {IMAGES: ("image-like, few in flight", "≤ 0.6"), TRAININGS: ("a training of 20 to 25 min", "≤ 0.3")}
    return [
        medians(
            [run for run in runs if run.parameters.get("kind") == kind],
            f"mean delay at equal requests, s: {what}",
            "delay_mean_s",
            against="fixed",
            target=target,
            digits=2,
        )
        for kind, (what, target) in targets.items()
        if any(run.parameters.get("kind") == kind for run in runs)
    ]
