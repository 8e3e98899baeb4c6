"""The colours of a picture: those that its prompt names, or some that only this prompt has."""

import colorsys
import hashlib
import re
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]

MAX_COLOURS = 6

_NAMED: dict[str, Colour] = {
    "amber": (255, 191, 0),
    "azure": (64, 156, 255),
    "beige": (232, 218, 190),
    "black": (24, 24, 28),
    "blue": (36, 84, 200),
    "bronze": (176, 116, 52),
    "brown": (120, 76, 44),
    "coral": (255, 127, 80),
    "crimson": (190, 20, 60),
    "cyan": (0, 190, 214),
    "emerald": (24, 160, 104),
    "gold": (230, 184, 40),
    "golden": (230, 184, 40),
    "gray": (130, 134, 140),
    "green": (44, 150, 72),
    "grey": (130, 134, 140),
    "indigo": (75, 40, 150),
    "ivory": (246, 240, 224),
    "lavender": (186, 170, 226),
    "magenta": (210, 40, 150),
    "navy": (20, 36, 96),
    "olive": (118, 124, 40),
    "orange": (240, 130, 30),
    "pink": (244, 150, 180),
    "purple": (128, 50, 160),
    "red": (212, 44, 40),
    "silver": (190, 196, 204),
    "teal": (0, 124, 128),
    "turquoise": (60, 200, 190),
    "violet": (140, 80, 210),
    "white": (242, 244, 246),
    "yellow": (246, 220, 60),
}


def colours_of(prompt: str) -> tuple[Colour, ...]:
    """Return two or more colours: those that the prompt names in its order, else three derived from its text."""
    words = re.findall(r"[a-z]+", prompt.lower())
    named = tuple(dict.fromkeys(_NAMED[word] for word in words if word in _NAMED))[:MAX_COLOURS]
    if len(named) > 1:
        return named
    return (*named, _darker(named[0])) if named else _derived(prompt)


def _darker(colour: Colour) -> Colour:
    red, green, blue = colour
    return red // 2, green // 2, blue // 2


def _derived(prompt: str) -> tuple[Colour, ...]:
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    hue = digest[0] / 256
    return _hsv(hue, 0.75, 0.85), _hsv(hue + 0.1 + digest[1] / 1024, 0.6, 0.95), _hsv(hue + 0.5, 0.7, 0.55)


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
