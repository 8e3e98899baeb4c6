"""Records as PhotoGPT's JSON; every view is a function of record and time."""

from worker.sandbox.api.answers import rfc3339
from worker.sandbox.media.urls import MediaUrls
from worker.sandbox.state.archive import Archive
from worker.sandbox.state.records import Generation, JsonObject, Model, Upload, ended_at, job_stage_at, model_stage_at


def job(generation: Generation, archive: Archive, media: MediaUrls, now: float) -> JsonObject:
    """Return one job, with its outputs once it has succeeded."""
    status = job_stage_at(generation, now)[1]
    view: JsonObject = {
        "jobId": generation.id,
        "status": status,
        "createdAt": rfc3339(generation.created_at),
    }
    if generation.model_id is not None:
        view["modelId"] = generation.model_id
    if now < ended_at(generation):
        return view
    if status.lower() == "success" and generation.kind != "training":
        existing = [output for output in generation.outputs if output not in archive.deleted]
        if generation.kind == "video":
            view["videos"] = [{"id": video_id, "url": media.of(video_id, "m3u8")} for video_id in existing]
        else:
            view["images"] = [made_image(generation, image_id, media) for image_id in existing]
    elif status.lower() == "failed":
        view["error"] = generation.error or "The generation failed."
    return view


def job_summary(generation: Generation, now: float) -> JsonObject:
    """Return one entry of the job list, where `errorMessage` stands for `error`."""
    since, status = job_stage_at(generation, now)
    view: JsonObject = {
        "jobId": generation.id,
        "status": status,
        "createdAt": rfc3339(generation.created_at),
        "updatedAt": rfc3339(since),
        "credits": generation.credits,
    }
    if status.lower() == "failed":
        view["errorMessage"] = generation.error or "The generation failed."
    return view


def model(record: Model, training: Generation | None, now: float) -> JsonObject:
    """Return a model without its profile, as in the vendor's sample."""
    since, status = model_stage_at(record, training, now)
    return {
        "id": record.id,
        "status": status,
        "modelType": "person",
        "createdAt": rfc3339(record.created_at),
        "updatedAt": rfc3339(max(since, record.updated_at)),
    }


def made_image(generation: Generation, image_id: str, media: MediaUrls) -> JsonObject:
    """Return an image made by a generation or an upscaling."""
    data = {"jobId": generation.id}
    if generation.source_image_id is not None:
        data["sourceImageID"] = generation.source_image_id
    url = media.of(image_id, "png")
    return _asset(image_id, url, generation.model_id, "output", ended_at(generation)) | {"data": data}


def upload(record: Upload, media: MediaUrls) -> JsonObject:
    """Return an uploaded image."""
    view = _asset(record.id, media.of(record.id, "png"), record.model_id, record.type, record.created_at)
    return view | {"data": {"bytes": record.size, "sha256": record.digest}}


def video(generation: Generation, video_id: str, media: MediaUrls) -> JsonObject:
    """Return a video; its URL is a playlist, not a file."""
    view = _asset(video_id, media.of(video_id, "m3u8"), generation.model_id, "output", ended_at(generation))
    return view | {"jobId": generation.id, "data": {}}


def download_progress(archive: Archive, video_id: str, now: float) -> float:
    """Return how far the file of a video is prepared, up to 1.0; 0.0 if it was not requested."""
    if video_id not in archive.downloads:
        return 0.0
    started_at, duration_s = archive.downloads[video_id]
    return min(1.0, (now - started_at) / duration_s) if duration_s else 1.0


def public_media_id(asset_id: str) -> str:
    """Return the public media id of an image or video."""
    return f"public_{asset_id}"


def _asset(asset_id: str, url: str, model_id: str | None, asset_type: str, at: float) -> JsonObject:
    view: JsonObject = {
        "id": asset_id,
        "url": url,
        "type": asset_type,
        "createdAt": rfc3339(at),
        "updatedAt": rfc3339(at),
        "publicMediaID": public_media_id(asset_id),
        "liked": False,
    }
    return view if model_id is None else view | {"modelID": model_id}
