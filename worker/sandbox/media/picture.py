"""Draw a picture: a gradient of the prompt's colours above a label. Pixels are indexes of a palette."""

import textwrap
from dataclasses import dataclass
from functools import lru_cache

from worker.sandbox.media import font
from worker.sandbox.media.colours import Colour

INK, PAPER = 254, 255
"""Palette indexes of the label's text and background; those below are the gradient."""

_GRADIENT = 254
_COLUMNS = 40
"""Characters that fit on a line of the label; a job id has 36."""
_MAX_LABEL_LINES = 6


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows of palette indexes, one byte for each pixel, and the palette."""

    width: int
    height: int
    pixels: bytearray
    palette: tuple[Colour, ...]
    label_height: int
    """Rows at the bottom that the label covers."""


def draw(width: int, height: int, colours: tuple[Colour, ...], label: list[str]) -> Picture:
    """Draw a picture whose label wraps each of the given lines."""
    scale = max(1, width // (_COLUMNS * (font.WIDTH + 1)))
    columns = max(1, width // (scale * (font.WIDTH + 1)) - 1)
    lines = [part for line in label for part in textwrap.wrap(line, columns)][:_MAX_LABEL_LINES]
    line_height = (font.HEIGHT + 2) * scale
    label_height = min(height, line_height * len(lines) + 2 * scale)
    picture = Picture(width, height, bytearray(_background(width, height)), _palette(colours), label_height)
    top = height - label_height
    picture.pixels[top * width :] = bytes([PAPER]) * (label_height * width)
    for number, line in enumerate(lines):
        _write(picture, line, top + 2 * scale + number * line_height, scale)
    return picture


@lru_cache(maxsize=16)
def _background(width: int, height: int) -> bytes:
    """Return a diagonal gradient: each row is the row above, moved by one pixel."""
    diagonal = bytes(position * _GRADIENT // (width + height) for position in range(width + height))
    return b"".join(diagonal[row : row + width] for row in range(height))


@lru_cache(maxsize=64)
def _palette(colours: tuple[Colour, ...]) -> tuple[Colour, ...]:
    spans = len(colours) - 1
    gradient = [_mix(colours, index * spans / _GRADIENT) for index in range(_GRADIENT)]
    return (*gradient, (250, 250, 250), (22, 24, 30))


def _mix(colours: tuple[Colour, ...], position: float) -> Colour:
    first = int(position)
    share = position - first
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colours[first], colours[first + 1], strict=True))
    return red, green, blue


def _write(picture: Picture, line: str, top: int, scale: int) -> None:
    for number, row in enumerate(font.rows_of(line, scale)):
        for y in range(top + number * scale, min(picture.height, top + (number + 1) * scale)):
            for x in row:
                start = y * picture.width + 2 * scale + x
                picture.pixels[start : start + scale] = bytes([INK]) * scale
