"""The jobs of the demo, enqueued as any producer would, and how far they are."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, chain

from worker.domain.job import TASKS, JsonObject, Kind
from worker.domain.outcome import Outcome
from worker.store.connection import Store

DURATIONS_S = {"image": 3, "upscale": 2, "video": 6, "training": 5}
"""How long the sandbox of the demo takes; PhotoGPT takes longer."""

MODELS = ("demo-model", "chain-model")
"""Models that the sandbox of the demo has, not trained yet."""

IMAGE = {"modelID": "nanobanana", "prompt": "a quiet harbour at dawn, long exposure"}
VIDEO = {"modelID": "veo-3.1-fast", "prompt": "the harbour wakes up", "options": {"veo": {"duration": 4}}}

Step = tuple[Kind, JsonObject]


@dataclass(frozen=True, slots=True)
class Plan:
    """One line of the demo: one job, or a chain of them."""

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
            (Kind.UPSCALE, {}),  # so does the image
        ),
    ),
)


def real_plans(model: str | None) -> tuple[Plan, ...]:
    """Return what is done with the real API: as little as shows all kinds; training only where a model is named."""
    plans = (
        Plan("image → upscale", ((Kind.IMAGE, IMAGE), (Kind.UPSCALE, {}))),
        Plan("video", ((Kind.VIDEO, VIDEO),)),
    )
    return (*plans, Plan("training", ((Kind.TRAINING, {"modelID": model}),))) if model else plans


@dataclass(kw_only=True)
class Line:
    """One line on the screen: a plan under way."""

    plan: Plan
    #: The Celery task id of each step, which is its job id.
    ids: list[str]
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    #: What the ledger said last, one for each step it knows of.
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def state(self) -> str:
        """How the step under way is; `succeeded` only if all are."""
        unfinished = [outcome["state"] for outcome in self.outcomes if outcome["state"] != "succeeded"]
        if unfinished:
            return str(unfinished[0])
        return "succeeded" if len(self.outcomes) == len(self.ids) else "queued"

    @property
    def current(self) -> Outcome | None:
        """The outcome so far of the last step that the ledger knows of."""
        return self.outcomes[-1] if self.outcomes else None

    @property
    def step(self) -> int:
        """Which step is under way, from 1."""
        return max(1, len(self.outcomes))

    @property
    def polls(self) -> int:
        """How often PhotoGPT was looked at, over all steps."""
        return sum(outcome["polls"] for outcome in self.outcomes)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was enqueued."""
        return (self.ended or time.monotonic()) - self.started

    def read(self, store: Store) -> None:
        """Ask the ledger."""
        if self.ended is not None:
            return
        found = [store.jobs.outcome(job_id) for job_id in self.ids]
        self.outcomes = [outcome for outcome in found if outcome is not None]
        if self.state in {"succeeded", "failed", "expired", "canceled"}:
            self.ended = time.monotonic()


def enqueue(producer: Celery, plans: tuple[Plan, ...], webhook_url: str) -> list[Line]:
    """Enqueue everything through a bare Celery app: task names and JSON, none of our code."""
    return [Line(plan=plan, ids=_send(producer, plan, webhook_url)) for plan in plans]


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


def output(line: Line) -> str:
    """Return what came out of a line: the URL, the model, or what went wrong."""
    current = line.current
    if current is None:
        return "not known to any worker"
    if line.state != "succeeded":
        return str(current["error"] or current["reason"] or "")
    records = current["images"] or current["videos"]
    return str(records[0]["url"]) if records else f"model {current['model_id']} is ready"
