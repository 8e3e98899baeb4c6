"""Requests for the files of outputs. They need no API key, as on a media host.

| path | operation | answer |
| --- | --- | --- |
| /media/{imageID}.png | mediaImage | the picture |
| /media/{videoID}.m3u8 | mediaPlaylist | an HLS playlist, which is no file to keep |
| /media/{videoID}/init.mp4, /media/{videoID}/{n}.m4s | mediaSegment | what the playlist names |
| /media/{videoID}.mp4 | mediaVideo | the video; 404 until its download was prepared |
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from worker.sandbox.api import views
from worker.sandbox.api.answers import Answer, Refusal
from worker.sandbox.api.request import Request
from worker.sandbox.media import files, urls
from worker.sandbox.media.content import Content
from worker.sandbox.media.video import playlist
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import Generation

Serve: TypeAlias = Callable[[Sandbox, Request, Generation], tuple[str, Content]]

_PATHS = {
    "mediaImage": re.compile(r"([^/]+)\.png"),
    "mediaPlaylist": re.compile(r"([^/]+)\.m3u8"),
    "mediaVideo": re.compile(r"([^/]+)\.mp4"),
    "mediaSegment": re.compile(r"([^/]+)/(init\.mp4|[0-9]{1,4}\.m4s)"),
}


UNKNOWN = "mediaUnknown"


def route(method: str, path: str) -> tuple[str, str, str]:
    """Return the operation, the id of the output and the name of the segment of a path below `/media/`."""
    for operation, pattern in _PATHS.items():
        found = pattern.fullmatch(path.removeprefix(urls.PREFIX))
        if found and method in {"GET", "HEAD"}:
            return operation, found[1], found[2] if pattern.groups > 1 else ""
    return UNKNOWN, "", ""


def serve(sandbox: Sandbox, request: Request) -> Answer:
    """Answer with a file; refuse an expired URL with 403, and an output that does not exist now with 404."""
    if "Authorization" in request.headers:
        sandbox.counters.media_with_key += 1
    if request.operation == UNKNOWN:
        raise _no_file(request)
    reason = urls.refusal(request.id, request.query, request.now, needed=sandbox.options.media_ttl_s is not None)
    if reason is not None:
        raise Refusal(403, reason, f"expires={request.query.get('expires')}")
    generation = sandbox.archive.generation_of(request.id, request.now)
    if generation is None or (generation.kind == "video") is (request.operation == "mediaImage"):
        raise _no_file(request)
    content_type, content = OPERATIONS[request.operation](sandbox, request, generation)
    return Answer(200, {}, content=content, content_type=content_type)


def _image(sandbox: Sandbox, request: Request, generation: Generation) -> tuple[str, Content]:
    source = sandbox.archive.generation_by_output.get(generation.source_image_id or "", generation)
    return "image/png", files.image(generation, request.id, source)


def _playlist(_sandbox: Sandbox, request: Request, generation: Generation) -> tuple[str, Content]:
    query = urls.query_until(request.id, float(request.query["expires"])) if "expires" in request.query else ""
    text = playlist(files.video(generation, request.id), request.id, query)
    return "application/vnd.apple.mpegurl", Content(text.encode())


def _segment(_sandbox: Sandbox, request: Request, generation: Generation) -> tuple[str, Content]:
    video = files.video(generation, request.id)
    number = request.part.partition(".")[0]
    if number == "init":
        return "video/mp4", Content(video.initialization())
    if int(number) >= video.segments:
        raise _no_file(request)
    return "video/iso.segment", Content(video.segment(int(number)))


def _video(sandbox: Sandbox, request: Request, generation: Generation) -> tuple[str, Content]:
    if views.download_progress(sandbox.archive, request.id, request.now) < 1.0:
        raise _no_file(request)
    return "video/mp4", files.movie(generation, request.id)


def _no_file(request: Request) -> Refusal:
    return Refusal(404, "File not found.", f"no file {request.id}")


OPERATIONS: dict[str, Serve] = {
    "mediaImage": _image,
    "mediaPlaylist": _playlist,
    "mediaSegment": _segment,
    "mediaVideo": _video,
}
