"""How the text of an option becomes its value. A ValueError says that the text has another form."""

import re
from pathlib import Path

from edgecnn.edge.errors import ConfigError, field

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def whole_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of `8,16,32`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(map(str.isdecimal, parts)):
        raise ValueError(text)
    return tuple(map(int, parts))


def numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of `0.485,0.456,0.406`."""
    return tuple(map(float, text.split(",")))


def words(text: str) -> tuple[str, ...]:
    """Return the words of `a.local:7070,b.local:7070`."""
    return tuple(word.strip() for word in text.split(","))


def height_width(text: str) -> tuple[int, int]:
    """Return height and width of `96x128`."""
    height, width = map(int, text.lower().split("x"))
    return height, width


def seconds(text: str) -> float:
    """Return the seconds of `90`, `90s`, `10m` or `1.5h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match:
        raise ValueError(text)
    return float(match[1]) * _SECONDS[match[2]]


def png(text: str) -> Path:
    """Return the path of a picture to write.

    Raises:
        ConfigError: If its name does not end in .png.
    """
    if not text.lower().endswith(".png"):
        raise ConfigError(f"{text} is not a .png name: {field('save')} writes PNG")
    return Path(text)
