"""Write H.264 frames as an MP4 file, or as the fragments that an HLS playlist names (ISO/IEC 14496-12 and -15)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

TIMESCALE = 1000
MIN_PADDING = 8
_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED = 0x55C4  # the language
_KEY_SAMPLE, _OTHER_SAMPLE = 0x02000000, 0x01010000


@dataclass(frozen=True, slots=True)
class Frame:
    """One NAL unit, and whether decoding can start there."""

    nal: bytes
    key: bool

    @property
    def sample(self) -> bytes:
        """The NAL unit with its length in front."""
        return struct.pack(">I", len(self.nal)) + self.nal


@dataclass(frozen=True, slots=True)
class Track:
    """The format of a video without sound."""

    width: int
    height: int
    sequence: bytes
    picture: bytes
    frame_ms: int


def movie(track: Track, frames: Sequence[Frame]) -> bytes:
    """Return a file that plays while it is still being downloaded: its index is in front."""
    kind = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    length = len(_index(track, frames, 0))
    index = _index(track, frames, len(kind) + length + 8)
    return kind + index + _box(b"mdat", *(frame.sample for frame in frames))


def padding(size: int) -> bytes:
    """Return a box of exactly this many bytes, at least MIN_PADDING, that players skip."""
    return _box(b"free", bytes(size - MIN_PADDING))


def initialization(track: Track) -> bytes:
    """Return the part that every fragment needs."""
    empty = [_full(name, struct.pack(">I", 0)) for name in (b"stts", b"stsc", b"stco")]
    tables = [*empty, _full(b"stsz", struct.pack(">II", 0, 0))]
    defaults = _box(b"mvex", _full(b"trex", struct.pack(">5I", 1, 1, 0, 0, 0)))
    kind = _box(b"ftyp", b"iso5", struct.pack(">I", 0x200), b"iso5iso6mp41")
    return kind + _movie_box(track, 0, tables, defaults)


def fragment(track: Track, frames: Sequence[Frame], number: int, first_frame: int) -> bytes:
    """Return some frames as a fragment; fragments are numbered from 0, frames too."""
    length = len(_fragment_index(track, frames, number, first_frame, 0))
    index = _fragment_index(track, frames, number, first_frame, length + 8)
    return index + _box(b"mdat", *(frame.sample for frame in frames))


def _index(track: Track, frames: Sequence[Frame], offset: int) -> bytes:
    count = len(frames)
    keys = [number for number, frame in enumerate(frames, 1) if frame.key]
    sizes = [len(frame.sample) for frame in frames]
    tables = [
        _full(b"stts", struct.pack(">3I", 1, count, track.frame_ms)),
        _full(b"stss", struct.pack(f">I{len(keys)}I", len(keys), *keys)),
        _full(b"stsc", struct.pack(">4I", 1, 1, count, 1)),
        _full(b"stsz", struct.pack(f">II{count}I", 0, count, *sizes)),
        _full(b"stco", struct.pack(">II", 1, offset)),
    ]
    return _movie_box(track, count * track.frame_ms, tables)


def _fragment_index(track: Track, frames: Sequence[Frame], number: int, first_frame: int, offset: int) -> bytes:
    flags = (_KEY_SAMPLE if frame.key else _OTHER_SAMPLE for frame in frames)
    entries = b"".join(struct.pack(">II", len(f.sample), flag) for f, flag in zip(frames, flags, strict=True))
    header = _full(b"tfhd", struct.pack(">II", 1, track.frame_ms), flags=0x020008)
    start = _full(b"tfdt", struct.pack(">Q", first_frame * track.frame_ms), version=1)
    run = _full(b"trun", struct.pack(">Ii", len(frames), offset), entries, flags=0x000601)
    return _box(b"moof", _full(b"mfhd", struct.pack(">I", number + 1)), _box(b"traf", header, start, run))


def _movie_box(track: Track, duration: int, tables: Sequence[bytes], *more: bytes) -> bytes:
    header = struct.pack(">4IIHH8x", 0, 0, TIMESCALE, duration, 0x10000, 0x100, 0) + _MATRIX + struct.pack(">24xI", 2)
    return _box(b"moov", _full(b"mvhd", header), _track_box(track, duration, tables), *more)


def _track_box(track: Track, duration: int, tables: Sequence[bytes]) -> bytes:
    header = struct.pack(">5I8x4H", 0, 0, 1, 0, duration, 0, 0, 0, 0) + _MATRIX
    header += struct.pack(">II", track.width << 16, track.height << 16)
    media_header = struct.pack(">4IHH", 0, 0, TIMESCALE, duration, _UNDETERMINED, 0)
    handler = struct.pack(">I4s12x", 0, b"vide") + b"video\0"
    reference = _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1))
    information = _box(
        b"minf",
        _full(b"vmhd", bytes(8), flags=1),
        _box(b"dinf", reference),
        _box(b"stbl", _full(b"stsd", struct.pack(">I", 1), _sample_entry(track)), *tables),
    )
    media = _box(b"mdia", _full(b"mdhd", media_header), _full(b"hdlr", handler), information)
    return _box(b"trak", _full(b"tkhd", header, flags=3), media)


def _sample_entry(track: Track) -> bytes:
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, track.width, track.height, 72 << 16, 72 << 16, 1, 24, -1)
    lengths = [struct.pack(">H", len(part)) + part for part in (track.sequence, track.picture)]
    configuration = b"\1" + track.sequence[1:4] + b"\xff\xe1" + lengths[0] + b"\1" + lengths[1]
    return _box(b"avc1", entry, _box(b"avcC", configuration))


def _full(name: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """Return a box that starts with a version and flags."""
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + name + content
