"""Durations as people type them."""

import re

from edge.errors import ConfigError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """Return the seconds of `90`, `90s`, `10m` or `1.5h`.

    Raises:
        ConfigError: If it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match:
        raise ConfigError(f"{text!r} is no duration: write 90s, 10m or 1h")
    return float(match[1]) * _SECONDS[match[2]]
