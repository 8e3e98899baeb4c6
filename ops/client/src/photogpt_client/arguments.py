"""What a job may be asked with. Names are PhotoGPT's own; a type checker and the client both refuse other types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, Required
from uuid import UUID

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from typing_extensions import TypedDict

MAX_DEADLINE_S = 7 * 86_400
MAX_DELAY_S = 366 * 86_400

EventType = Literal[
    "job.queued", "job.submitted", "job.running", "job.succeeded", "job.failed", "job.expired", "job.canceled",
    "job.stored", "job.not_stored",
    "model.queued", "model.submitted", "model.running", "model.succeeded", "model.failed", "model.expired",
    "model.canceled",
]  # fmt: skip
Text = Annotated[str, MinLen(1)]
Id = Annotated[str, MinLen(1), MaxLen(255)]
Count = Annotated[int, Ge(1)]


class Options(TypedDict, total=False):
    """What a job of any kind may have."""

    #: The job's id. The same id twice is one job. Default: a random UUID.
    id: Id | UUID
    #: Where the outcome is sent.
    webhook_url: str | None
    #: Which events are sent; default: the four that end a job.
    webhook_events: Sequence[EventType] | None
    #: JSON of your own, repeated in outcome, events and webhooks.
    metadata: Mapping[str, Any] | None
    #: Seconds from the job's start until it expires.
    deadline_s: Annotated[float, Gt(0), Le(MAX_DEADLINE_S)] | None
    #: When the job starts: a datetime with a zone, RFC 3339 text, or epoch seconds.
    not_before: datetime | str | float | None
    #: Seconds from now until the job starts.
    delay_s: Annotated[float, Ge(0), Le(MAX_DELAY_S)] | None
    #: Two jobs with the same key and request trigger PhotoGPT once.
    idempotency_key: Id | None
    #: Whose job it is; tenants take turns.
    tenant: Annotated[str, MinLen(1), MaxLen(100)] | None
    #: Fields of the request that PhotoGPT knows and this version of the package does not.
    extra: Mapping[str, Any]


class ImageFields(TypedDict, total=False):
    """The body of POST /images/generation, for public and for trained models."""

    prompt: str
    aspectRatio: str
    numImages: Count
    options: Mapping[str, Any]
    preset: str
    referenceImageURLs: Sequence[str]
    inputImageId: str
    width: Count
    height: Count
    steps: Count
    seed: int
    runType: str
    enhanceFace: bool
    styleStrength: float


class VeoOptions(TypedDict, total=False):
    """The options of Veo models."""

    aspectRatio: Literal["16:9", "9:16"]
    duration: Literal[4, 6, 8]
    resolution: Literal["720p", "1080p"]
    enhancePrompt: bool
    generateAudio: bool
    negativePrompt: str
    seed: int


class VideoOptions(TypedDict, total=False):
    """Options by family of models; only those of Veo are documented by PhotoGPT."""

    veo: VeoOptions
    seedance: Mapping[str, Any]
    kling: Mapping[str, Any]
    grok: Mapping[str, Any]


class VideoFields(TypedDict, total=False):
    """The body of POST /videos/generation, without what is required."""

    numVideos: Count
    options: VideoOptions
    referenceImages: Sequence[Mapping[str, Any]]
    referenceVideos: Sequence[Mapping[str, Any]]
    elementIDs: Sequence[str]


class ImageArguments(ImageFields, Options):
    """An image. Public models need a prompt; trained ones may have a preset or an input image instead."""

    modelID: Required[Text]


class UpscaleArguments(Options):
    """An upscale of an image."""

    imageID: Required[Text]


class VideoArguments(VideoFields, Options):
    """A video."""

    modelID: Required[Text]
    prompt: Required[Text]


class TrainArguments(Options):
    """The training of a model whose images were uploaded before."""

    modelID: Required[Text]


class ChainedImage(ImageFields, Options):
    """An image in a Celery chain: the training before it may give the model."""

    modelID: NotRequired[Text]


class ChainedUpscale(Options):
    """An upscale in a Celery chain: the image before it may give the image."""

    imageID: NotRequired[Text]


class ChainedVideo(VideoFields, Options):
    """A video in a Celery chain."""

    modelID: NotRequired[Text]
    prompt: NotRequired[Text]


class ChainedTraining(Options):
    """A training in a Celery chain."""

    modelID: NotRequired[Text]
