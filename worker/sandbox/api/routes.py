"""Routes: method and path to an operation, named as in PhotoGPT's OpenAPI description."""

from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote

from worker.sandbox.api import images, jobs, models, triggers, videos
from worker.sandbox.api.answers import Answer, ok
from worker.sandbox.api.catalogue import PRESETS
from worker.sandbox.api.request import Request
from worker.sandbox.sandbox import Sandbox

Operation: TypeAlias = Callable[[Sandbox, Request], Answer]
PREFIX = "/api"
UNKNOWN = "unknown"


def _ping(_sandbox: Sandbox, _request: Request) -> Answer:
    return Answer(200, {"message": "pong!", "status": "OK"})


def _list_presets(_sandbox: Sandbox, _request: Request) -> Answer:
    return ok(list(PRESETS))


OPERATIONS: dict[str, Operation] = {
    "ping": _ping,
    "listModels": models.list_models,
    "createOrUpdateModel": models.put_model,
    "getModel": models.get_model,
    "deleteModel": models.delete_model,
    "triggerModelTraining": triggers.trigger_training,
    "listModelImages": models.list_model_images,
    "uploadImage": images.upload_image,
    "getImage": images.get_image,
    "deleteImage": images.delete_image,
    "triggerImageGenerationJob": triggers.trigger_image,
    "triggerImageUpscalingJob": triggers.trigger_upscaling,
    "triggerVideoGenerationJob": triggers.trigger_video,
    "listPresets": _list_presets,
    "listVideos": videos.list_videos,
    "getVideo": videos.get_video,
    "deleteVideo": videos.delete_video,
    "createVideoDownload": videos.create_download,
    "getVideoDownload": videos.get_download,
    "listJobs": jobs.list_jobs,
    "getJobStatus": jobs.get_job,
}

_FIXED: dict[str, dict[str, str]] = {
    "/ping": {"GET": "ping"},
    "/models": {"GET": "listModels", "POST": "createOrUpdateModel"},
    "/images/upload": {"POST": "uploadImage"},
    "/images/generation": {"POST": "triggerImageGenerationJob"},
    "/images/upscaling": {"POST": "triggerImageUpscalingJob"},
    "/videos": {"GET": "listVideos"},
    "/videos/generation": {"POST": "triggerVideoGenerationJob"},
    "/jobs": {"GET": "listJobs"},
    "/presets": {"GET": "listPresets"},
}

_BY_ID: dict[tuple[str, str], dict[str, str]] = {
    ("models", ""): {"GET": "getModel", "DELETE": "deleteModel"},
    ("models", "train"): {"GET": "triggerModelTraining"},
    ("models", "images"): {"GET": "listModelImages"},
    ("images", ""): {"GET": "getImage", "DELETE": "deleteImage"},
    ("videos", ""): {"GET": "getVideo", "DELETE": "deleteVideo"},
    ("videos", "create-download"): {"GET": "createVideoDownload"},
    ("videos", "download"): {"GET": "getVideoDownload"},
    ("jobs", ""): {"GET": "getJobStatus"},
}


def route(method: str, path: str) -> tuple[str, str]:
    """Return the operation and the id in the path; the operation of an unknown path is `unknown`."""
    if not path.startswith(f"{PREFIX}/"):
        return UNKNOWN, ""
    fixed = _FIXED.get(path[len(PREFIX) :])
    if fixed is not None and method in fixed:
        return fixed[method], ""
    _, collection, *segments = path[len(PREFIX) :].split("/")
    if len(segments) not in {1, 2}:
        return UNKNOWN, ""
    operation = _BY_ID.get((collection, segments[1] if len(segments) == 2 else ""), {}).get(method, UNKNOWN)
    return operation, unquote(segments[0])
