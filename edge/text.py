"""Makes text from outside (names, labels, fields, other libraries' messages) safe to show."""

import json
import re
import textwrap
from collections.abc import Iterable, Sized

WIDTH = 100
"""How many columns a text takes, unless it is for a terminal."""

# C0 and C1 controls, characters that reorder or hide text (bidirectional controls, zero-width spaces, tags), line and
# paragraph separators, and surrogates. The joiners U+200C and U+200D stay: Persian and emoji need them.
_STEERING = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff"
)
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_IN_BLOCK = re.compile(f"[{_STEERING}]")
_IN_LINE = re.compile(f"[\n{_STEERING}]")
_ELLIPSIS = " ..."


def printable(text: str) -> str:
    r"""Return text from outside as one line that can't control a terminal, reorder what is shown or break out of a table.

    Control characters are escaped as in JSON, so that ESC is shown as `\u001b`.
    """
    return _IN_LINE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return a block of text, escaped in the same way; its newlines stay."""
    return _IN_BLOCK.sub(_escaped, text)


def has_controls(text: str) -> bool:
    """Return whether a name has control characters, which no name needs."""
    return bool(_CONTROL.search(text))


def without_controls(text: str) -> str:
    """Return text with its control characters escaped as in JSON; all else stays, so that names still compare equal."""
    return _CONTROL.sub(_escaped, text)


def shortened(text: str, width: int = 160) -> str:
    """Return text of other libraries as one line of at most `width` characters that ends between words, without its colours."""
    line = printable(" ".join(_COLOURS.sub("", text).split()))
    if len(line) <= width:
        return line
    start = line[: width - len(_ELLIPSIS) + 1]
    return (start[: start.rfind(" ")] if " " in start else start[:-1]).rstrip() + _ELLIPSIS


def paragraph(text: str, width: int, indent: str = "") -> str:
    """Return a text in lines of at most `width` columns, of which all but the first begin with `indent`; see `printable`.

    A longer word stays whole: it is a path, or part of a command, that somebody copies. So does a name with hyphens.
    """
    return textwrap.fill(printable(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def paragraphs(texts: Iterable[str], width: int, indent: str = "") -> list[str]:
    """Return each text as `paragraph` does."""
    return [paragraph(text, width, indent) for text in texts]


def ending(text: str, width: int) -> str:
    """Return the last words of a text as one line of at most `width` characters."""
    line = printable(" ".join(text.split()))
    if len(line) <= width:
        return line
    end = line[-(width - len(_ELLIPSIS)) :]
    return f"... {end.partition(' ')[2] or end}"


def last_line(text: str) -> str:
    """Return the last line of a program's output that is not empty; an empty text if there is no such line."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def counted(items: int | Sized, noun: str) -> str:
    """Return `1 input` or `2 inputs`: the plural of the noun adds es after a hissing sound (class, launch), else s."""
    count = items if isinstance(items, int) else len(items)
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith(('s', 'nch', 'tch')) else 's'}"


def share_text(share: float) -> str:
    """Return a share, 0 to 1, in percent with four digits, or with as many as keep it from 100: `97.46 %`, `99.9991 %`."""
    texts = (f"{100 * share:.{digits}g}" for digits in range(4, 17))
    return f"{next((text for text in texts if share >= 1 or float(text) < 100), '100')} %"


def duration_text(seconds: float) -> str:
    """Return a duration with two digits, for example `0.8 s`, `45 s`, `12 min` or `3.5 h`."""
    units = ((3600, "h"), (60, "min"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= 1.5 * size), (1, "s"))
    count = seconds / size
    return f"{count:.0f} {unit}" if count >= 9.95 else f"{count:.2g} {unit}"


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
