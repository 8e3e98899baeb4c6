"""The video endpoints except generation, with the two steps to a downloadable file."""

from worker.sandbox.api import views
from worker.sandbox.api.answers import Answer, Refusal, ok
from worker.sandbox.api.request import Request
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import Generation


def list_videos(sandbox: Sandbox, request: Request) -> Answer:
    """GET /videos: all videos that exist now, newest first."""
    archive = sandbox.archive
    return ok(
        [
            views.video(generation, video_id, request.media)
            for generation in reversed(archive.ordered)
            if generation.kind == "video"
            for video_id in generation.outputs
            if archive.generation_of(video_id, request.now)
        ]
    )


def get_video(sandbox: Sandbox, request: Request) -> Answer:
    """GET /videos/{videoID}."""
    return ok(views.video(_generation_of(sandbox, request.id, request.now), request.id, request.media))


def delete_video(sandbox: Sandbox, request: Request) -> Answer:
    """DELETE /videos/{videoID}."""
    _generation_of(sandbox, request.id, request.now)
    sandbox.archive.delete(request.id)
    return ok({"id": request.id})


def create_download(sandbox: Sandbox, request: Request) -> Answer:
    """GET /videos/{videoID}/create-download; a second request changes nothing."""
    video_id = _video_id(request.id)
    _generation_of(sandbox, video_id, request.now)
    sandbox.archive.prepare_download(video_id, request.now, sandbox.draw_duration("download"))
    return ok("Download requested")


def get_download(sandbox: Sandbox, request: Request) -> Answer:
    """GET /videos/{videoID}/download; 404 before the download was requested."""
    video_id = _video_id(request.id)
    _generation_of(sandbox, video_id, request.now)
    if video_id not in sandbox.archive.downloads:
        raise Refusal(404, "No download was requested for this video.", f"no download of {video_id}")
    progress = views.download_progress(sandbox.archive, video_id, request.now)
    if progress < 1.0:
        return ok({"status": "preparing", "percentComplete": int(progress * 100)})
    return ok({"status": "ready", "percentComplete": 100, "url": request.media.of(video_id, "mp4")})


def _generation_of(sandbox: Sandbox, video_id: str, now: float) -> Generation:
    generation = sandbox.archive.generation_of(video_id, now)
    if generation is None or generation.kind != "video":
        raise Refusal(404, "Video not found.", f"no video {video_id}")
    return generation


def _video_id(either_id: str) -> str:
    """Return the video id of a video id or public media id."""
    return either_id.removeprefix(views.public_media_id(""))
