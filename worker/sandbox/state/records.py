"""The records of the sandbox, and their status as a pure function of record and time."""

import math
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["image", "upscale", "video", "training"]
Stages: TypeAlias = tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One job of PhotoGPT: its request, and every status it will pass through."""

    id: str
    kind: Kind
    created_at: float
    stages: Stages
    """Statuses with their offsets in seconds; those of a training are the model's."""
    endless: bool = False
    """Whether the last stage lasts for ever instead of ending the generation."""
    outputs: tuple[str, ...] = ()
    """Ids of the images or videos that exist once the status is `success`."""
    model_id: str | None = None
    source_image_id: str | None = None
    error: str | None = None
    credits: float = 0.0
    file_bytes: int = 0
    """The size that each of its files is padded to; a file that is larger stays as it is."""
    request: JsonObject = field(default_factory=dict)
    """The request body."""
    digest: str = ""
    """SHA-256 of the body's bytes."""
    idempotency_key: str | None = None
    """The Idempotency-Key header. PhotoGPT does not document one, and the sandbox ignores it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A trained model. Its last training, if it has one, decides its status."""

    id: str
    status: str
    created_at: float
    updated_at: float
    training_id: str | None = None
    profile: JsonObject = field(default_factory=dict)
    directive: JsonObject = field(default_factory=dict)
    """The course of its trainings, set by the control API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An uploaded image, without its bytes."""

    id: str
    model_id: str
    type: str
    created_at: float
    size: int
    digest: str


def stage_at(generation: Generation, now: float) -> tuple[float, str]:
    """Return when the status at a time began, and the status."""
    since, status = generation.stages[0]
    for offset, later in generation.stages[1:]:
        if generation.created_at + offset > now:
            break
        since, status = offset, later
    return generation.created_at + since, status


def ended_at(generation: Generation) -> float:
    """Return when the last status is reached; infinite for a generation that never ends."""
    return math.inf if generation.endless else generation.created_at + generation.stages[-1][0]


def job_stage_at(generation: Generation, now: float) -> tuple[float, str]:
    """Like `stage_at`, with the statuses of the job endpoints, which translate those of a training."""
    since, status = stage_at(generation, now)
    if generation.kind != "training":
        return since, status
    if now < ended_at(generation):
        return generation.created_at, "running"
    return since, "success" if status == "ready" else "failed"


def model_stage_at(model: Model, training: Generation | None, now: float) -> tuple[float, str]:
    """Return when the status of a model began, and the status."""
    return (model.updated_at, model.status) if training is None else stage_at(training, now)


def new_id(prefix: str) -> str:
    """Return an id that is unique across restarts: the prefix and 32 hexadecimal digits."""
    return f"{prefix}_{uuid.uuid4().hex}"
