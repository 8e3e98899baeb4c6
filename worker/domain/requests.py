"""The request bodies of PhotoGPT's API, as pydantic models.

Documented fields are checked strictly (`photogpt/openapi.yaml`, `docs/image-generation`, `docs/upscaling`,
`docs/video-generation`). Other fields pass unchecked, because PhotoGPT may add some at any time.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
)

from worker.domain.job import Kind

Text = Annotated[StrictStr, Field(min_length=1)]
Count = Annotated[StrictInt, Field(ge=1)]

REFERENCE_IMAGES = {
    "nanobanana": 3,
    "nanobanana-pro": 14,
    "nanobanana-2": 14,
    "seedream": 10,
    "seedream-4_5": 10,
    "seedream-5-lite": 10,
    "gpt-image-2": 10,
}
"""The maximum number of reference images of each public image model (triggerImageGenerationJob)."""


class Request(BaseModel):
    """A request body; unknown fields pass."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PublicImageRequest(Request):
    """An image by one of PhotoGPT's public models."""

    modelID: Text
    prompt: Text
    aspectRatio: StrictStr | None = None
    numImages: Count | None = None
    options: dict[str, Any] | None = None
    preset: StrictStr | None = None
    referenceImageURLs: list[StrictStr] | None = None


class TrainedImageRequest(Request):
    """An image by a model that the account has trained; most requests have a prompt, a preset or an input image."""

    modelID: Text
    prompt: StrictStr | None = None
    preset: StrictStr | None = None
    inputImageId: StrictStr | None = None
    width: Count | None = None
    height: Count | None = None
    numImages: Count | None = None
    steps: Count | None = None
    seed: StrictInt | None = None
    runType: StrictStr | None = None
    enhanceFace: StrictBool | None = None
    styleStrength: StrictFloat | StrictInt | None = None


class UpscaleRequest(Request):
    """An upscale of an image."""

    imageID: Text


class VeoOptions(BaseModel):
    """The options of Veo models, `options.veo` (docs/video-generation)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    aspectRatio: Literal["16:9", "9:16"] | None = None
    duration: Literal[4, 6, 8] | None = None
    resolution: Literal["720p", "1080p"] | None = None
    enhancePrompt: StrictBool | None = None
    generateAudio: StrictBool | None = None
    negativePrompt: StrictStr | None = None
    seed: StrictInt | None = None


class VideoOptions(BaseModel):
    """Options by family of models; only Veo's are documented."""

    model_config = ConfigDict(extra="allow", frozen=True)

    veo: VeoOptions | None = None
    seedance: dict[str, Any] | None = None
    kling: dict[str, Any] | None = None
    grok: dict[str, Any] | None = None


class VideoRequest(Request):
    """A video by one of PhotoGPT's models."""

    modelID: Text
    prompt: Text
    numVideos: Count | None = None
    options: VideoOptions | None = None
    referenceImages: list[dict[str, Any]] | None = None
    referenceVideos: list[dict[str, Any]] | None = None
    elementIDs: list[StrictStr] | None = None


class TrainingRequest(Request):
    """The training of a model whose images were uploaded before."""

    modelID: Text


def _image_model(value: Any) -> str:
    model = value.get("modelID") if isinstance(value, dict) else getattr(value, "modelID", None)
    return "public" if isinstance(model, str) and model in REFERENCE_IMAGES else "trained"


ImageRequest = Annotated[
    Annotated[PublicImageRequest, Tag("public")] | Annotated[TrainedImageRequest, Tag("trained")],
    Discriminator(_image_model),
]

REQUESTS: dict[Kind, Any] = {
    Kind.IMAGE: ImageRequest,
    Kind.UPSCALE: UpscaleRequest,
    Kind.VIDEO: VideoRequest,
    Kind.TRAINING: TrainingRequest,
}
"""The type of the request body of each kind."""
