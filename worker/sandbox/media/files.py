"""The files of a generation, made from its request. The same output always has the same bytes."""

from functools import lru_cache

from worker.sandbox.media import mp4, png
from worker.sandbox.media.colours import colours_of
from worker.sandbox.media.content import Content, padded
from worker.sandbox.media.picture import Picture, draw
from worker.sandbox.media.video import Video, film
from worker.sandbox.state.records import Generation, JsonObject

IMAGE_SIDE = 512
MAX_IMAGE_SIDE = 2048
VIDEO_SIZE = (320, 176)
DEFAULT_VIDEO_S = 8
MAX_VIDEO_S = 30


def image(generation: Generation, image_id: str, source: Generation) -> Content:
    """Return an image as PNG. `source` made the image that is upscaled, or is the generation itself."""
    width, height = _image_size(source.request)
    factor = 1 if source is generation else 2
    picture = draw(width * factor, height * factor, _colours(source), _label(generation, image_id, source))
    head, tail = png.encode(picture)
    return padded(head, tail, generation.file_bytes, png.padding, png.MIN_PADDING)


def movie(generation: Generation, video_id: str) -> Content:
    """Return a video as MP4."""
    return padded(video(generation, video_id).movie(), b"", generation.file_bytes, mp4.padding, mp4.MIN_PADDING)


def video(generation: Generation, video_id: str) -> Video:
    """Return the frames of a video; those of the last few videos are kept."""
    return _film(
        _video_size(generation.request),
        _prompt(generation),
        tuple(_label(generation, video_id, generation)),
        _seconds(generation.request),
    )


@lru_cache(maxsize=16)
def _film(size: tuple[int, int], prompt: str, label: tuple[str, ...], seconds: int) -> Video:
    picture: Picture = draw(*size, colours_of(prompt), list(label))
    return film(picture, seconds)


def _colours(generation: Generation) -> tuple[tuple[int, int, int], ...]:
    return colours_of(_prompt(generation))


def _prompt(generation: Generation) -> str:
    """Return the prompt, or another text of the request that stands for it."""
    request = generation.request
    return next((str(request[name]) for name in ("prompt", "preset", "imageID", "modelID") if request.get(name)), "")


def _label(generation: Generation, asset_id: str, source: Generation) -> list[str]:
    number = generation.outputs.index(asset_id) + 1
    return [f"{generation.kind} {number} of {len(generation.outputs)}", _prompt(source), generation.id]


def _image_size(request: JsonObject) -> tuple[int, int]:
    """Return width and height: as requested, or from the aspect ratio."""
    width, height = request.get("width"), request.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return min(max(width, 1), MAX_IMAGE_SIDE), min(max(height, 1), MAX_IMAGE_SIDE)
    wide, _, high = str(request.get("aspectRatio", "1:1")).partition(":")
    if not (wide.isdecimal() and high.isdecimal() and 0 < int(wide) <= 100 and 0 < int(high) <= 100):
        return IMAGE_SIDE, IMAGE_SIDE
    longer = max(int(wide), int(high))
    return max(1, IMAGE_SIDE * int(wide) // longer), max(1, IMAGE_SIDE * int(high) // longer)


def _video_size(request: JsonObject) -> tuple[int, int]:
    """Return width and height of a video; `9:16` is upright."""
    width, height = VIDEO_SIZE
    return (height, width) if "9:16" in _option(request, "aspectRatio", "ratio") else (width, height)


def _seconds(request: JsonObject) -> int:
    given = [value for value in _option(request, "duration") if isinstance(value, int) and value > 0]
    return min(given[0], MAX_VIDEO_S) if given else DEFAULT_VIDEO_S


def _option(request: JsonObject, *names: str) -> list[object]:
    """Return the values of an option in all groups of `options`."""
    options = request.get("options")
    groups = options.values() if isinstance(options, dict) else ()
    return [group[name] for group in groups if isinstance(group, dict) for name in names if name in group]
