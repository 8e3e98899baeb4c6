"""A video of a picture over which a bar moves, as one file or as a playlist of segments."""

from dataclasses import dataclass
from functools import lru_cache

from worker.sandbox.media import h264, mp4
from worker.sandbox.media.colours import Colour
from worker.sandbox.media.picture import INK, Picture

FRAMES_PER_S = 4
SEGMENT_S = 2
_SEGMENT_FRAMES = FRAMES_PER_S * SEGMENT_S


@dataclass(frozen=True, slots=True)
class Video:
    """A track and its frames; each segment starts with a key frame."""

    track: mp4.Track
    frames: tuple[mp4.Frame, ...]

    def movie(self) -> bytes:
        """Return the whole video as an MP4 file."""
        return mp4.movie(self.track, self.frames)

    def initialization(self) -> bytes:
        """Return the initialization section of the segments."""
        return mp4.initialization(self.track)

    @property
    def segments(self) -> int:
        """The number of segments."""
        return -(-len(self.frames) // _SEGMENT_FRAMES)

    def segment(self, number: int) -> bytes:
        """Return a segment, counted from 0."""
        first = number * _SEGMENT_FRAMES
        return mp4.fragment(self.track, self.frames[first : first + _SEGMENT_FRAMES], number, first)


def film(picture: Picture, seconds: int) -> Video:
    """Return a video of some seconds; width and height of the picture are multiples of 16."""
    track = mp4.Track(
        picture.width,
        picture.height,
        *h264.parameter_sets(picture.width, picture.height),
        frame_ms=1000 // FRAMES_PER_S,
    )
    return Video(track, tuple(_frame(picture, number) for number in range(seconds * FRAMES_PER_S)))


def playlist(video: Video, video_id: str, query: str) -> str:
    """Return the playlist of a video; `query` is appended to every URI in it."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{SEGMENT_S}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f'#EXT-X-MAP:URI="{video_id}/init.mp4{query}"',
    ]
    for number in range(video.segments):
        frames = min(_SEGMENT_FRAMES, len(video.frames) - number * _SEGMENT_FRAMES)
        lines += [f"#EXTINF:{frames / FRAMES_PER_S:.3f},", f"{video_id}/{number}.m4s{query}"]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def _frame(picture: Picture, number: int) -> mp4.Frame:
    columns = picture.width // h264.MACROBLOCK
    bar = number % columns
    planes = _planes(picture, bar)
    position = number % _SEGMENT_FRAMES
    if position == 0:
        return mp4.Frame(h264.key_frame(planes, number // _SEGMENT_FRAMES), key=True)
    rows = picture.height // h264.MACROBLOCK
    changed = {row * columns + column for row in range(rows) for column in (bar, (number - 1) % columns)}
    return mp4.Frame(h264.next_frame(planes, changed, position), key=False)


def _planes(picture: Picture, bar: int) -> h264.Planes:
    """Return the planes of a frame with the bar over one column of macroblocks, above the label."""
    width, side = picture.width, h264.MACROBLOCK
    pixels = bytearray(picture.pixels)
    for y in range(picture.height - picture.label_height):
        start = y * width + bar * side + side // 4
        pixels[start : start + side // 2] = bytes([INK]) * (side // 2)
    luma, blue, red = _tables(picture.palette)
    half = b"".join(pixels[y * width : (y + 1) * width : 2] for y in range(0, picture.height, 2))
    return h264.Planes(width, picture.height, bytes(pixels.translate(luma)), half.translate(blue), half.translate(red))


@lru_cache(maxsize=64)
def _tables(palette: tuple[Colour, ...]) -> tuple[bytes, bytes, bytes]:
    """Return luma and chroma for each palette index (BT.601, limited range)."""
    luma = bytes(round(16 + 0.257 * r + 0.504 * g + 0.098 * b) for r, g, b in palette)
    blue = bytes(round(128 - 0.148 * r - 0.291 * g + 0.439 * b) for r, g, b in palette)
    red = bytes(round(128 + 0.439 * r - 0.368 * g - 0.071 * b) for r, g, b in palette)
    return luma, blue, red
