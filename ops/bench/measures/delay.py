"""Delay, requests and CPU for 1, 5, 40 and 1,000 jobs at once, beside the vendor's loop and the obvious design."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from ops.bench.figures import spread
from ops.bench.machine import load
from ops.bench.medians import medians, middle_of
from ops.bench.peers import PEERS, Ours, Peer
from ops.bench.plan import Numbers, Plan, Row, Run, Steps
from ops.bench.stage import Stage, wait
from worker.domain.poll_schedule import MIN_HISTORY, MIN_OBSERVED

NAME = "delay"
TEXT = (
    "As many jobs as the row says are enqueued at once, and the run ends when every producer has its result. Cold: "
    "Redis was empty and the worker had just started. Warm: the same worker has learned the durations from earlier "
    "jobs. Delay: from a generation's end to the first GET /jobs/{id} that showed it, by the sandbox's clock. "
    "Requests: all that the sandbox got, per job. CPU: user and kernel seconds of the worker process, idle "
    "time included, per job. A run of few jobs has up to five rounds, with other durations in each. The raw numbers "
    "also hold the wait for the trigger: from the first enqueue to the creation of the generation."
)
COMPARED = ("vendor", "obvious", "ours")
MIN_SAMPLES = 20  # jobs of one run, unless that takes more than MAX_ROUNDS
MAX_ROUNDS = 5
HISTORY = MIN_HISTORY + 10  # jobs that a warm worker has seen
FIGURES = (
    ("mean delay, s", "delay_s.mean"),
    ("p99 delay, s", "delay_s.p99"),
    ("requests per job", "requests_per_job"),
    ("worker CPU per job, ms", "cpu_ms_per_job"),
)
TARGETS = {1: (1.0, 1.0, 1.0), 5: (0.5, 1.0, 1.0), 40: (0.3, 0.6, 0.35), 1000: (0.3, 0.5, 0.15)}
"""Ours divided by the obvious design's, by jobs at once: mean delay, requests, CPU."""


@dataclass(frozen=True)
class Before:
    """What had been spent when a round began."""

    cpu_s: float
    requests: int
    at: float
    ended: set[str]


def steps(plan: Plan) -> Steps:
    """Return the cold runs of all designs, alternating, and the warm runs of ours."""
    names = [name for name in COMPARED if name in plan.peers]
    cold: Steps = [
        (
            f"delay: {jobs} at once, {name}, run {turn + 1} of {plan.repeats}",
            partial(_cold, replace(plan, jobs=jobs, seed=plan.seed + turn), name),
        )
        for jobs in plan.at_once
        for turn in range(plan.repeats)
        for name in names
    ]
    warm: Steps = [
        (f"delay: {jobs} at once, ours, warm", partial(_warm, replace(plan, jobs=jobs))) for jobs in plan.at_once
    ]
    return cold + (warm if Ours.name in names else [])


def _cold(plan: Plan, name: str) -> list[Run]:
    """Measure rounds of new jobs, each on a stage of its own."""
    before = load()
    rounds = [_cold_round(replace(plan, seed=1000 * plan.seed + number), name) for number in range(_rounds(plan.jobs))]
    return [_run(plan, name, rounds, before, warm=False)]


def _cold_round(plan: Plan, name: str) -> Numbers:
    with Stage(plan, f"delay-{name}-{plan.jobs}-{plan.seed}") as stage:
        peer = PEERS[name](stage)
        try:
            peer.start(plan.jobs)
            return _round(plan, peer, stage)
        finally:
            peer.stop()


def _warm(plan: Plan) -> list[Run]:
    """Let one worker learn the durations, then measure rounds of new jobs."""
    before = load()
    with Stage(plan, f"delay-warm-{plan.jobs}") as stage:
        peer = Ours(stage)
        try:
            peer.start()
            began = time.monotonic()
            _finish(plan, peer, HISTORY)
            p95_s = max(spread(stage.durations())["p95"], 1.0)
            time.sleep(max(0.0, began + (MIN_OBSERVED + 1) * p95_s - time.monotonic()))
            rounds = [_round(plan, peer, stage) for _ in range(_rounds(plan.jobs))]
        finally:
            peer.stop()
    return [_run(plan, peer.name, rounds, before, warm=True)]


def _rounds(jobs: int) -> int:
    return min(MAX_ROUNDS, max(1, MIN_SAMPLES // jobs))


def _round(plan: Plan, peer: Peer, stage: Stage) -> Numbers:
    """Enqueue the jobs at once, wait for the last result, and return what that took."""
    before = Before(peer.cpu_s(), stage.requests(), time.time(), stage.ended())
    _finish(plan, peer, plan.jobs)
    return {
        "cpu_s": peer.cpu_s() - before.cpu_s,
        "requests": stage.requests() - before.requests,
        "delays": stage.delays(stage.ended() - before.ended),
        "waits": stage.created_after(before.at),
    }


def _finish(plan: Plan, peer: Peer, jobs: int) -> None:
    goal = peer.finished() + jobs
    peer.enqueue(jobs)
    wait(lambda: peer.finished() >= goal, plan.limit_s, f"{peer.name} finishes {jobs} jobs")


def _run(plan: Plan, name: str, rounds: list[Numbers], before: list[float], *, warm: bool) -> Run:
    jobs = plan.jobs * len(rounds)
    return Run(
        measure=NAME,
        peer=name,
        load_before=before,
        parameters={"jobs": plan.jobs, "warm": warm, "duration": plan.duration, "interval_s": plan.interval},
        numbers={
            "cpu_ms_per_job": round(1000 * sum(each["cpu_s"] for each in rounds) / jobs, 2),
            "requests_per_job": round(sum(each["requests"] for each in rounds) / jobs, 3),
            "delay_s": spread([delay for each in rounds for delay in each["delays"]]),
            "trigger_wait_s": spread([wait for each in rounds for wait in each["waits"]]),
        },
    )


def rows(runs: list[Run]) -> list[Row]:
    """Return four rows for each number of jobs, cold, and two for ours when warm."""
    found: list[Row] = []
    for jobs in sorted({run.parameters["jobs"] for run in runs if run.parameters}):
        cold = [run for run in runs if run.parameters.get("jobs") == jobs and not run.parameters["warm"]]
        warm = [run for run in runs if run.parameters.get("jobs") == jobs and run.parameters["warm"]]
        found += [medians(cold, f"{jobs:,} at once: {what}", number, digits=2) for what, number in FIGURES]
        others = [run for run in cold if run.peer != Ours.name]
        if warm:
            found += [
                medians(others + warm, f"{jobs:,} at once, warm: {what}", number, digits=2)
                for what, number in FIGURES[::2]
            ]
    return found


def ratios(runs: list[Run]) -> str:
    """Return the short table: ours divided by the obvious design's, from a cold start, with the targets."""
    lines = [
        "| jobs at once | mean delay | p99 delay | requests | CPU per job |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for jobs in sorted({run.parameters["jobs"] for run in runs if run.parameters}):
        cold = [run for run in runs if run.parameters.get("jobs") == jobs and not run.parameters["warm"]]
        found = [_ratio(cold, number) for _, number in FIGURES]
        delay, requests, cpu = TARGETS.get(jobs, (None, None, None))
        cells = [_cell(found[0], delay), _cell(found[1], None), _cell(found[2], requests), _cell(found[3], cpu)]
        lines.append(f"| {jobs:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ratio(runs: list[Run], number: str) -> float | None:
    ours, other = (middle_of(runs, number).get(name) for name in (Ours.name, "obvious"))
    return ours / other if ours is not None and other else None


def _cell(ratio: float | None, target: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if target is None else f"{ratio:.2f} (target {target:g})"
