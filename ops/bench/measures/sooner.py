"""How late an end is noticed while few are in flight, beside a fixed interval that asks as often."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from ops.bench.figures import spread
from ops.bench.fixed import equal_looks
from ops.bench.machine import load
from ops.bench.medians import medians
from ops.bench.peers import Ours
from ops.bench.plan import Numbers, Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait

NAME = "sooner"
TEXT = (
    "Images: 20 at a time, lognormal durations, median 25 s, sigma 0.5, interval 5 s. Trainings: 20 to 25 minutes, "
    "interval 300 s. First some hundred (trainings: 20) from which the schedule may learn, then those that count. "
    "Where `simulate.py` is there, it runs the scheduling code on a clock of its own; otherwise a worker runs with all "
    "times divided (images by 5, trainings by 30), and lags are shown multiplied. Requests: all but triggers, so that "
    "a page of GET /jobs counts, and the model read before its training. fixed: for the very durations that came up, "
    "the lag of looks every T seconds by arithmetic, T such that as many requests are made: an ideal poller that is "
    "never late."
)
IMAGES, TRAININGS = "image", "training"
AT_ONCE = 20
FASTER = {IMAGES: 5.0, TRAININGS: 30.0}
LAWS = {IMAGES: "lognormal:5:0.5", TRAININGS: "uniform:40:50"}
INTERVALS = {IMAGES: 1.0, TRAININGS: 10.0}


def steps(plan: Plan) -> Steps:
    """Images, then trainings."""
    simulated = _simulated()
    if simulated is not None:
        return [("sooner: simulated", partial(simulated, plan))]
    how = {IMAGES: _images, TRAININGS: _trainings}
    return [(f"sooner: {kind}s, faster by {FASTER[kind]:g}", partial(_run, plan, kind, how[kind])) for kind in how]


def _simulated() -> Callable[[Plan], list[Run]] | None:
    """Return `simulate.sooner`, where there is one: runs as from `_compare`, by the real code on a clock of its own."""
    try:
        found: Callable[[Plan], list[Run]] = importlib.import_module("ops.bench.simulate").sooner
    except ModuleNotFoundError:
        return None
    return found


def _run(plan: Plan, kind: str, do: Callable[[Plan, Stage, Ours], tuple[int, int]]) -> list[Run]:
    before = load()
    settings: dict[str, object] = {
        "PHOTOGPT_SCHEDULE": "learned",
        "PHOTOGPT_MODEL_POLL_INTERVAL_S": INTERVALS[TRAININGS],
    }
    with Stage(plan, f"sooner-{kind}", duration=LAWS[IMAGES]) as stage:
        stage.control.options(durations={TRAININGS: LAWS[TRAININGS]})
        peer = Ours(stage, interval=INTERVALS[IMAGES], **settings)
        try:
            peer.start()
            first, looks = do(plan, stage, peer)
        finally:
            peer.stop()
        generations = stage.control.generations(kind=kind)[first:]
    return _compare(kind, generations, looks, before)


def _images(plan: Plan, stage: Stage, peer: Ours) -> tuple[int, int]:
    """Return how many were for learning, and the looks at the others."""
    _keep_busy(plan, peer, plan.few)
    before = _looks(stage)
    _keep_busy(plan, peer, plan.few)
    return plan.few, _looks(stage) - before


def _keep_busy(plan: Plan, peer: Ours, jobs: int) -> None:
    """Do so many jobs, not more than a few at a time."""
    begun, sent = peer.finished(), 0
    deadline = time.monotonic() + plan.limit_s
    while (done := peer.finished() - begun) < jobs:
        more = min(AT_ONCE - (sent - done), jobs - sent)
        peer.enqueue(more)
        sent += more
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done} of {jobs} jobs have ended in {plan.limit_s:g} s")
        time.sleep(0.1)


def _trainings(plan: Plan, stage: Stage, peer: Ours) -> tuple[int, int]:
    """Return how many were for learning, and the looks at the others."""
    _train(plan, stage, peer, "first")
    before = _looks(stage)
    _train(plan, stage, peer, "second")
    return AT_ONCE, _looks(stage) - before


def _train(plan: Plan, stage: Stage, peer: Ours, name: str) -> None:
    begun = peer.finished()
    for number in range(AT_ONCE):
        stage.control.model(f"{name}-{number}", status="new")
        peer.train(f"{name}-{number}")
    wait(lambda: peer.finished() - begun >= AT_ONCE, plan.limit_s, "the trainings have ended")


def _looks(stage: Stage) -> int:
    """Return all that was asked, triggers apart: a page of GET /jobs is a look, too."""
    asked = stage.books()["requests"]
    return int(sum(count for operation, count in asked.items() if not operation.startswith("trigger")))


def _compare(kind: str, generations: list[dict[str, Any]], looks: int, before: list[float]) -> list[Run]:
    faster, durations = FASTER[kind], [_epoch(each["endsAt"]) - _epoch(each["createdAt"]) for each in generations]
    lags = [each["noticedAfterS"] * faster for each in generations if each["noticedAfterS"] is not None]
    per_job = looks / len(generations)
    interval, fixed = equal_looks(durations, per_job)
    usual = {"interval_s": round(interval * faster, 2), "lag_mean_s": round(fixed * faster, 3)}
    parameters = {"kind": kind, "faster": faster, "jobs": len(generations), "simulated": False}
    ours = {"lag_mean_s": spread(lags)["mean"], "lag_s": spread(lags), "looks_per_job": round(per_job, 3)}
    runs: dict[str, Numbers] = {"ours": ours, "fixed": usual | {"looks_per_job": round(per_job, 3)}}
    return [
        Run(measure=NAME, peer=peer, numbers=numbers, parameters=parameters, load_before=before)
        for peer, numbers in runs.items()
    ]


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
