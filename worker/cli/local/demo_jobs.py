"""The jobs of the demo: enqueued as any producer does it, and their progress."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, chain

from worker.domain.job import TASKS, JobState, JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.store.store import Store

DURATIONS_S = {"image": 3, "upscale": 2, "video": 6, "training": 5, "download": 1}
"""Durations in the sandbox of the demo; PhotoGPT takes longer."""

MODELS = ("demo-model", "chain-model")
"""Untrained models in the sandbox of the demo."""

IMAGE = {"modelID": "nanobanana", "prompt": "a quiet harbour at dawn, long exposure"}
VIDEO = {"modelID": "veo-3.1-fast", "prompt": "boats leave the harbour", "options": {"veo": {"duration": 4}}}

Step = tuple[Kind, JsonObject]


@dataclass(frozen=True, slots=True)
class Plan:
    """One job of the demo, or one chain of jobs."""

    title: str
    steps: tuple[Step, ...]

    @property
    def expected_s(self) -> float:
        """How long its generations take in the sandbox of the demo."""
        return sum(DURATIONS_S[kind] for kind, _ in self.steps)


SANDBOX_PLANS = (
    Plan("image", ((Kind.IMAGE, IMAGE),)),
    Plan("upscale", ((Kind.UPSCALE, {"imageID": "an-image-of-yours"}),)),
    Plan("video", ((Kind.VIDEO, VIDEO),)),
    Plan("training", ((Kind.TRAINING, {"modelID": MODELS[0]}),)),
    Plan(
        "train → image → upscale",
        (
            (Kind.TRAINING, {"modelID": MODELS[1]}),
            (Kind.IMAGE, {"prompt": "me, at the harbour"}),  # the model comes from the step before
            (Kind.UPSCALE, {}),  # the image as well
        ),
    ),
)


def real_plans(model: str | None) -> tuple[Plan, ...]:
    """Return the smallest plans that show all kinds with the real API; a training only if a model is given."""
    plans = (
        Plan("image → upscale", ((Kind.IMAGE, IMAGE), (Kind.UPSCALE, {}))),
        Plan("video", ((Kind.VIDEO, VIDEO),)),
    )
    return (*plans, Plan("training", ((Kind.TRAINING, {"modelID": model}),))) if model else plans


@dataclass(kw_only=True)
class Run:
    """A plan that was enqueued."""

    plan: Plan
    #: The Celery task id of each step, which is its job id.
    ids: list[str]
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    #: The outcomes of the steps that workers have accepted.
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def state(self) -> JobState:
        """The state of the present step; `succeeded` only if every step succeeded."""
        unfinished = [outcome["state"] for outcome in self.outcomes if outcome["state"] != JobState.SUCCEEDED]
        if unfinished:
            return JobState(unfinished[0])
        return JobState.SUCCEEDED if len(self.outcomes) == len(self.ids) else JobState.QUEUED

    @property
    def current(self) -> Outcome | None:
        """The outcome so far of the last accepted step."""
        return self.outcomes[-1] if self.outcomes else None

    @property
    def step(self) -> int:
        """The number of the present step, from 1."""
        return max(1, len(self.outcomes))

    @property
    def polls(self) -> int:
        """How often workers polled PhotoGPT, over all steps."""
        return sum(outcome["polls"] for outcome in self.outcomes)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the plan was enqueued."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def note(self) -> str:
        """The trained model or the error; empty after a success that made files."""
        current = self.current
        if current is None:
            return "no worker has accepted it"
        if self.state != JobState.SUCCEEDED:
            return str(current["error"] or current["reason"] or "")
        return "" if current["images"] or current["videos"] else f"model {current['model_id']} is ready"

    def refresh(self, store: Store) -> None:
        """Read the outcomes from the store."""
        if self.ended is not None:
            return
        found = [store.jobs.outcome(job_id) for job_id in self.ids]
        self.outcomes = [outcome for outcome in found if outcome is not None]
        if self.state.terminal:
            self.ended = time.monotonic()


def enqueue(producer: Celery, plans: tuple[Plan, ...], webhook_url: str) -> list[Run]:
    """Enqueue every plan through a bare Celery app: task names and JSON, no code of the service."""
    return [Run(plan=plan, ids=_send(producer, plan, webhook_url)) for plan in plans]


def _send(producer: Celery, plan: Plan, webhook_url: str) -> list[str]:
    signatures = [
        producer.signature(
            TASKS[kind],
            kwargs={"request": request, "webhook_url": webhook_url, "metadata": {"demo": plan.title}},
        )
        for kind, request in plan.steps
    ]
    result: Any = chain(*signatures, app=producer).apply_async() if len(signatures) > 1 else signatures[0].apply_async()
    ids = []
    while result is not None:
        ids.append(str(result.id))
        result = result.parent
    return ids[::-1]
