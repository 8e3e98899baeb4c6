"""The records of the sandbox, and their state as a pure function of record and time."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["image", "upscale", "video", "training"]
Stages: TypeAlias = tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One job of PhotoGPT: what was asked for, and every status it will pass through."""

    id: str
    kind: Kind
    created_at: float
    stages: Stages
    """Statuses with their offsets in seconds; those of a training are the model's."""
    endless: bool = False
    """Whether the last of the stages is not an end, but goes on for ever."""
    outputs: tuple[str, ...] = ()
    """Ids of the images or videos that exist once the status is `success`."""
    model_id: str | None = None
    source_image_id: str | None = None
    error: str | None = None
    credits: float = 0.0
    request: JsonObject = field(default_factory=dict)
    """The body as it was sent."""
    digest: str = ""
    """SHA-256 of the body's bytes."""
    idempotency_key: str | None = None
    """The Idempotency-Key header, which PhotoGPT does not document and the sandbox ignores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An own model; while it has a training, that decides its status."""

    id: str
    status: str
    created_at: float
    updated_at: float
    training_id: str | None = None
    profile: JsonObject = field(default_factory=dict)
    wish: JsonObject = field(default_factory=dict)
    """How its trainings go, as set through the control API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An uploaded image; its bytes are not kept."""

    id: str
    model_id: str
    type: str
    created_at: float
    size: int
    digest: str


def stage_at(generation: Generation, now: float) -> tuple[float, str]:
    """The status at a time, and since when; the time of creation shows the first."""
    since, status = generation.stages[0]
    for offset, later in generation.stages[1:]:
        if generation.created_at + offset > now:
            break
        since, status = offset, later
    return generation.created_at + since, status


def ended_at(generation: Generation) -> float:
    """When the last status is reached; infinite for a generation that never ends."""
    return math.inf if generation.endless else generation.created_at + generation.stages[-1][0]


def job_stage_at(generation: Generation, now: float) -> tuple[float, str]:
    """The status as the job endpoints tell it, where a training has the words of a job."""
    since, status = stage_at(generation, now)
    if generation.kind != "training":
        return since, status
    if now < ended_at(generation):
        return generation.created_at, "running"
    return since, "success" if status == "ready" else "failed"


def model_stage_at(model: Model, training: Generation | None, now: float) -> tuple[float, str]:
    """The status of a model, and since when."""
    return (model.updated_at, model.status) if training is None else stage_at(training, now)
