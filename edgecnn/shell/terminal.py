"""The width of text on a terminal, and the colours of verdicts and warnings."""

import os
import re
import shutil
from typing import TextIO

from edgecnn.edge.text import WIDTH

_WIDEST = 120  # Longer lines are hard to read.
_NARROWEST = 40
_GREEN, _RED, _YELLOW, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
_VERDICTS = {"PASS": _GREEN, "FAIL": _RED, "NO RESULT": _RED, **dict.fromkeys(("UNDECIDED", "UNJUDGED", "INVALID"), _YELLOW)}
_AT_START = {"problem": _RED, "PROBLEM": _RED, "warning": _YELLOW, "Warning": _YELLOW, "Unstable": _YELLOW}
_COLOURS = _VERDICTS | _AT_START
# Whole words, so that a file called FAIL.tflite is not red.
_WORDS = re.compile(rf"(?<![\w./-])(?:{'|'.join(_VERDICTS)})(?![\w/-]|\.\w)|^ *(?:{'|'.join(_AT_START)})\b", re.MULTILINE)


def columns(stream: TextIO | None) -> int:
    """Return the width of text for a stream: that of a terminal, from 40 to 120 columns, and 100 in a file or a pipe."""
    if not _is_terminal(stream):
        return WIDTH
    # A serial console has no size: it gets the fallback of 80 columns.
    return min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)


def has_colours(stream: TextIO | None) -> bool:
    """Return whether a stream shows colours: a terminal does, unless NO_COLOR is set (https://no-color.org) or it is dumb.

    FORCE_COLOR requests them in a pipe too, for a CI's log.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (_is_terminal(stream) and os.environ.get("TERM") != "dumb")


def coloured(text: str) -> str:
    """Return text with verdicts and warnings in colour: green for PASS, red for failures, yellow for the rest."""
    return _WORDS.sub(lambda found: f"{_COLOURS[found[0].strip()]}{found[0]}{_RESET}", text)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # It is closed.
        return False
