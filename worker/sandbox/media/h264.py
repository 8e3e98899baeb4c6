"""H.264 without compression: macroblocks of plain samples (I_PCM), or unchanged since the frame before (skipped).

Every player decodes it, and it needs neither transforms nor tables. ITU-T H.264, clauses 7.3 and 9.1.
"""

from collections.abc import Collection
from dataclasses import dataclass

MACROBLOCK = 16
"""Width and height of a macroblock in pixels."""

_SEQUENCE, _PICTURE, _KEY_SLICE, _SLICE = 0x67, 0x68, 0x65, 0x41  # first bytes of NAL units, all of them references
_I_PCM = 25
_I_PCM_IN_P = 30  # types of a P slice are five higher


@dataclass(frozen=True, slots=True)
class Planes:
    """One frame: luma, and the two chroma planes at half the width and height."""

    width: int
    height: int
    luma: bytes
    blue: bytes
    red: bytes

    def samples(self, number: int) -> bytes:
        """Return the samples of a macroblock, counted row by row."""
        row, column = divmod(number, self.width // MACROBLOCK)
        planes = ((self.luma, MACROBLOCK, self.width), (self.blue, 8, self.width // 2), (self.red, 8, self.width // 2))
        return b"".join(_square(plane, side, stride, row, column) for plane, side, stride in planes)


def parameter_sets(width: int, height: int) -> tuple[bytes, bytes]:
    """Return the sequence and the picture parameter set: constrained baseline profile, level 3."""
    columns, rows = width // MACROBLOCK, height // MACROBLOCK
    sizes = _ue(columns - 1) + _ue(rows - 1)
    counts = _ue(0) + _ue(4) + _ue(2) + _ue(1) + "0"  # id, 8 bits of frame number, output order, one reference
    sequence = f"{66:08b}{0xC0:08b}{30:08b}" + counts + sizes + "1" + "1" + "0" + "0"
    picture = _ue(0) + _ue(0) + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "1" + "00"  # deblocking is set by the slice
    return _nal(_SEQUENCE, _closed(sequence)), _nal(_PICTURE, _closed(picture))


def key_frame(planes: Planes, key_number: int) -> bytes:
    """Return a frame that needs no other; neighbouring key frames have different numbers."""
    bits = _ue(0) + _ue(7) + _ue(0) + f"{0:08b}" + _ue(key_number % 2) + "00" + _ue(0) + _ue(1)
    data = b""
    for number in range(_count(planes)):
        data += _aligned(bits + _ue(_I_PCM)) + planes.samples(number)
        bits = ""
    return _nal(_KEY_SLICE, data + _closed(bits))


def next_frame(planes: Planes, changed: Collection[int], frame_number: int) -> bytes:
    """Return a frame of which only these macroblocks differ from the one before; the first after a key frame is 1."""
    bits = _ue(0) + _ue(5) + _ue(0) + f"{frame_number % 256:08b}" + "00" + "0" + _ue(0) + _ue(1)
    data, following = b"", 0
    for number in sorted(changed):
        data += _aligned(bits + _ue(number - following) + _ue(_I_PCM_IN_P)) + planes.samples(number)
        bits, following = "", number + 1
    if following < _count(planes):
        bits += _ue(_count(planes) - following)
    return _nal(_SLICE, data + _closed(bits))


def _count(planes: Planes) -> int:
    return planes.width * planes.height // MACROBLOCK**2


def _square(plane: bytes, side: int, stride: int, row: int, column: int) -> bytes:
    start = row * side * stride + column * side
    return b"".join(plane[start + y * stride : start + y * stride + side] for y in range(side))


def _ue(value: int) -> str:
    """Return the bits of an unsigned Exp-Golomb code."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _aligned(bits: str) -> bytes:
    """Return bits filled up with zeros to whole bytes."""
    length = (len(bits) + 7) // 8
    return int(bits.ljust(length * 8, "0"), 2).to_bytes(length)


def _closed(bits: str) -> bytes:
    """Return bits with the end mark of a NAL unit."""
    return _aligned(bits + "1")


def _nal(first: int, payload: bytes) -> bytes:
    """Return a NAL unit; a 3 is inserted where the payload would contain a start code."""
    if b"\0\0" in payload:
        payload = _escaped(payload)
    return bytes([first]) + payload


def _escaped(payload: bytes) -> bytes:
    escaped, zeros = bytearray(), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes(escaped)
